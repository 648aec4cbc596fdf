-- Note that a collector is at work, and until when all that it had taken is settled: `taken_at`. Notes that hold longer
-- than any that is made now are from before the clock was set back, and are forgotten: a collector that lives writes
-- its own again.
--
-- Binds      bridge        text
--            name          text, of the collector
--            holder        text, where it runs
--            seconds       double precision, how long ago the last such moment was
--            most_seconds  double precision, how long the note holds
-- Returns    nothing
-- Relies on  nothing
WITH forgotten AS (
    DELETE FROM fq.turns
     WHERE bridge = :bridge AND starts_with(name, 'collector ') AND name <> 'collector ' || :name
       AND expires_at > clock_timestamp() + make_interval(secs => :most_seconds)
)
INSERT INTO fq.turns AS t (bridge, name, holder, expires_at, taken_at)
    VALUES (:bridge, 'collector ' || :name, :holder, clock_timestamp() + make_interval(secs => :most_seconds),
            clock_timestamp() - make_interval(secs => :seconds))
    ON CONFLICT (bridge, name) DO UPDATE SET expires_at = EXCLUDED.expires_at, taken_at = EXCLUDED.taken_at
