-- List the bridges that have clients, and whose pumps have not been at work for a minute.
--
-- Binds      none
-- Returns    bridge of each
-- Relies on  nothing
SELECT DISTINCT c.bridge FROM fq.clients c
 WHERE c.task IS NOT NULL
   AND NOT EXISTS (SELECT FROM fq.turns t
                    WHERE t.bridge = c.bridge AND t.name IN ('linger', 'tick')
                      AND t.expires_at > clock_timestamp() - interval '1 minute')
