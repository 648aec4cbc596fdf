-- Read when the event with an offset was created.
--
-- Binds      offset  bigint
-- Returns    microseconds since 1970; no row if there is no such event
-- Relies on  nothing
SELECT CAST(extract(epoch FROM e.created_at) * 1000000 AS bigint) FROM fq.events e WHERE e."offset" = :offset
