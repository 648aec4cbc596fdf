-- Tell which of these events are erased.
--
-- Binds      offsets  bigint[]
-- Returns    "offset"
-- Relies on  nothing
SELECT e."offset" FROM fq.events e WHERE e."offset" = ANY (CAST(:offsets AS bigint[])) AND fq.is_erased(e)
