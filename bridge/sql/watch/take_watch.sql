-- Take the turn to look for lost messages; one bridge worker has it at a time, and keeps it as long as it looks.
-- A turn that ends later than any that is taken now is from before the clock was set back: its holder may be dead.
--
-- Binds      bridge   text
--            holder   text
--            seconds  double precision, for how long
-- Returns    holder; no row if another one has it
-- Relies on  nothing
INSERT INTO fq.turns AS t (bridge, name, holder, expires_at)
    VALUES (:bridge, 'watch', :holder, clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (bridge, name) DO UPDATE
       SET holder = EXCLUDED.holder, expires_at = EXCLUDED.expires_at, taken_at = EXCLUDED.taken_at
     WHERE t.holder = EXCLUDED.holder
        OR t.expires_at NOT BETWEEN clock_timestamp() AND clock_timestamp() + make_interval(secs => :seconds)
RETURNING t.holder
