-- Lock an event's delivery for its handler's transaction. It can't be handed over again meanwhile. An earlier attempt
-- of the same epoch may take effect, as its success counts too; one of another epoch, or one that nobody remembers, may
-- not. Nor may one of another generation: it names another event, which a restore of the database has taken away.
--
-- Binds      client      text
--            offset      bigint
--            generation  integer, that of the event
--            epoch       integer
--            attempt     integer
-- Returns    state; no row if the event is not open for this client in this epoch, or not handed over so often
-- Relies on  the handler's transaction: the lock ends with it
SELECT state FROM fq.deliveries
 WHERE client_id OPERATOR(pg_catalog.=) :client AND "offset" OPERATOR(pg_catalog.=) :offset
   AND epoch OPERATOR(pg_catalog.=) :epoch AND attempt OPERATOR(pg_catalog.>=) :attempt
   AND pg_catalog.width_bucket("offset", (SELECT l.starts FROM fq.log l)) OPERATOR(pg_catalog.=) :generation
   FOR UPDATE
