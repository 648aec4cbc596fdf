-- Remember that a tick has come from beat.
--
-- Binds      bridge  text
-- Returns    nothing
-- Relies on  nothing
INSERT INTO fq.turns (bridge, name, holder, expires_at, taken_at)
    VALUES (:bridge, 'beat', '', clock_timestamp(), clock_timestamp())
    ON CONFLICT (bridge, name) DO UPDATE SET expires_at = EXCLUDED.expires_at, taken_at = EXCLUDED.taken_at
