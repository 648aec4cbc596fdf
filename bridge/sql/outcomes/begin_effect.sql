-- Take an event for the time of its handler's transaction; it can't be handed over again meanwhile.
--
-- Binds      client  text
--            offset  bigint
-- Returns    state; no row if nobody waits for this event
-- Relies on  the handler's transaction: the lock ends with it
SELECT state FROM fq.deliveries WHERE client_id = :client AND "offset" = :offset FOR UPDATE
