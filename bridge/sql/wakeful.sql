-- The clients that a pump must look at.
--
-- Binds      horizon  bigint
-- Returns    id of each, those that were served longest ago first
-- Relies on  nothing
SELECT id FROM fq.clients
 WHERE task IS NOT NULL AND state = 'active' AND (dispatched < :horizon AND NOT "full" OR wake_at <= now())
 ORDER BY dispatched
