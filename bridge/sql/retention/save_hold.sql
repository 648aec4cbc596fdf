-- Keep the events from an offset on until a moment, under a name; a hold of that name is renewed.
--
-- Binds      name     text
--            offset   bigint, the first event that is kept
--            seconds  double precision, for how long from now on
--            by       text, who wants it
-- Returns    name, "offset", expires_at, by
-- Relies on  hold_log having run in this transaction, where the events are in the log already
INSERT INTO fq.holds (name, "offset", expires_at, by)
VALUES (:name, :offset, now() + make_interval(secs => :seconds), :by)
    ON CONFLICT (name) DO UPDATE
   SET "offset" = EXCLUDED."offset", expires_at = EXCLUDED.expires_at, by = EXCLUDED.by
RETURNING name, "offset", expires_at, by
