-- Note that a collector is at work, and until when all that it had taken is settled: `taken_at`.
--
-- Binds      bridge        text
--            name          text, of the collector
--            holder        text, where it runs
--            seconds       double precision, how long ago the last such moment was
--            most_seconds  double precision, how long the note holds
-- Returns    nothing
-- Relies on  nothing
INSERT INTO fq.turns AS t (bridge, name, holder, expires_at, taken_at)
    VALUES (:bridge, 'collector ' || :name, :holder, clock_timestamp() + make_interval(secs => :most_seconds),
            clock_timestamp() - make_interval(secs => :seconds))
    ON CONFLICT (bridge, name) DO UPDATE SET expires_at = EXCLUDED.expires_at, taken_at = EXCLUDED.taken_at
