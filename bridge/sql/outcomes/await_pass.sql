-- Wait for the pass that may be handing an event over at this moment: it sends the messages before it commits. No pass
-- hands over anything of an epoch before the client's.
--
-- Binds      client   text
--            epoch    integer, of the event
--            wait_ms  text, longest wait in milliseconds
-- Returns    id of the client; no row if its epoch is a later one, or if there is no such client
-- Relies on  a transaction of its own, which ends at once: pumps leave the client alone until then
SELECT c.id
  FROM fq.clients c CROSS JOIN (SELECT pg_catalog.set_config('lock_timeout', :wait_ms, true) OFFSET 0) bounded
 WHERE c.id OPERATOR(pg_catalog.=) :client AND c.epoch OPERATOR(pg_catalog.<=) :epoch
   FOR SHARE OF c
