-- The clients that a pump must look at.
--
-- Binds      horizon  bigint
-- Returns    id of each, those that were served longest ago first
-- Relies on  nothing
SELECT id FROM fq.served
 WHERE dispatched < :horizon AND NOT "full" AND state = 'active' OR woken
 ORDER BY dispatched
