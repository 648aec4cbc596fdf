-- Lock an event's delivery for its handler's transaction. It can't be handed over again meanwhile.
--
-- Binds      client  text
--            offset  bigint
-- Returns    state; no row if the event is not open for this client
-- Relies on  the handler's transaction: the lock ends with it
SELECT state FROM fq.deliveries
 WHERE client_id OPERATOR(pg_catalog.=) :client AND "offset" OPERATOR(pg_catalog.=) :offset
   FOR UPDATE
