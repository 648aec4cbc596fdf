-- List the clients of a bridge that have open deliveries.
--
-- Binds      bridge  text, or NULL for all
-- Returns    id of each
-- Relies on  nothing
SELECT c.id FROM fq.clients c
 WHERE c.task IS NOT NULL AND c.bridge = coalesce(CAST(:bridge AS text), c.bridge)
   AND EXISTS (SELECT FROM fq.open(c.id))
 ORDER BY c.id
