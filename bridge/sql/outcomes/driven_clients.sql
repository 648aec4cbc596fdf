-- Tell which of these clients the bridge drives.
--
-- Binds      clients  text[]
-- Returns    id of each
-- Relies on  nothing
SELECT c.id FROM fq.clients c WHERE c.id = ANY (:clients) AND c.task IS NOT NULL
