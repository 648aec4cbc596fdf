-- Mark an event as done together with what its handler wrote; its callback, or the end of its lease, finishes it.
--
-- Binds      client  text
--            offset  bigint
-- Returns    nothing
-- Relies on  begin_effect having run in this transaction
UPDATE fq.deliveries SET state = 'done' WHERE client_id = :client AND "offset" = :offset
