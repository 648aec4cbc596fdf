-- Mark an event as done in the transaction of its handler. Its callback finishes it later, or the end of its lease
-- does.
--
-- Binds      client  text
--            offset  bigint
--            epoch   integer
-- Returns    nothing
-- Relies on  begin_effect having run in this transaction
UPDATE fq.deliveries SET state = 'done'
 WHERE client_id OPERATOR(pg_catalog.=) :client AND "offset" OPERATOR(pg_catalog.=) :offset
   AND epoch OPERATOR(pg_catalog.=) :epoch
