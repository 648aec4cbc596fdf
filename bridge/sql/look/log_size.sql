-- Tell how large the log is.
--
-- Binds      none
-- Returns    bytes of fq.events, with its indexes and all that is stored beside it
-- Relies on  nothing
SELECT pg_total_relation_size(CAST('fq.events' AS regclass))
