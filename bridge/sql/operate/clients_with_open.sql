-- List the clients that the bridge drives and that have open deliveries.
--
-- Binds      none
-- Returns    id of each
-- Relies on  nothing
SELECT c.id FROM fq.clients c WHERE c.task IS NOT NULL AND EXISTS (SELECT FROM fq.open(c.id)) ORDER BY c.id
