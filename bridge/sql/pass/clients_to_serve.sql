-- List the clients of a bridge that need a pass.
--
-- Binds      bridge   text
--            horizon  bigint
-- Returns    id of each, the lowest `dispatched` first
-- Relies on  nothing
SELECT id FROM fq.served
 WHERE bridge = :bridge AND (dispatched < :horizon AND NOT "full" AND NOT limited AND state = 'active' OR woken)
 ORDER BY dispatched
