-- Read the log's generation.
--
-- Binds      none
-- Returns    generation
-- Relies on  nothing
SELECT cardinality(l.starts) AS generation FROM fq.log l
