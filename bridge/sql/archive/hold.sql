-- Keep the events of a range from being pruned while they are put back, for an hour from now on.
--
-- Binds      name     text
--            offset   bigint, the first event that is kept
--            by       text, who wants it
-- Returns    nothing
-- Relies on  nothing
INSERT INTO fq.holds (name, "offset", expires_at, by) VALUES (:name, :offset, now() + interval '1 hour', :by)
    ON CONFLICT (name) DO UPDATE
   SET "offset" = least(holds."offset", EXCLUDED."offset"), expires_at = EXCLUDED.expires_at, by = EXCLUDED.by
