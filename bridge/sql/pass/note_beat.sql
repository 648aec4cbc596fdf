-- Note that a beat is at work, and forget those whose notes have run out long ago.
--
-- Binds      bridge   text
--            beat     text, what its messages name as their origin
--            seconds  double precision, how long the note holds
-- Returns    nothing
-- Relies on  nothing
WITH forgotten AS (
    DELETE FROM fq.turns
     WHERE bridge = :bridge AND starts_with(name, 'beat ') AND name <> 'beat ' || :beat
       AND expires_at < clock_timestamp() - interval '1 hour'
)
INSERT INTO fq.turns AS t (bridge, name, holder, expires_at)
    VALUES (:bridge, 'beat ' || :beat, :beat, clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (bridge, name) DO UPDATE
       SET expires_at = EXCLUDED.expires_at,
           taken_at = CASE WHEN t.expires_at < clock_timestamp() THEN EXCLUDED.taken_at ELSE t.taken_at END
