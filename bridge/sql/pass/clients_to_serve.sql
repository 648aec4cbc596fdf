-- List the clients that need a pass.
--
-- Binds      horizon  bigint
-- Returns    id of each, the lowest `dispatched` first
-- Relies on  nothing
SELECT id FROM fq.served
 WHERE dispatched < :horizon AND NOT "full" AND state = 'active' OR woken
 ORDER BY dispatched
