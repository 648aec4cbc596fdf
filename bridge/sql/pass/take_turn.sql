-- Take the turn to wait for work. The newest tick has it; the one before sees that before its next wait, and ends.
--
-- Binds      holder   text
--            seconds  double precision
-- Returns    nothing
-- Relies on  nothing
INSERT INTO fq.turns (name, holder, expires_at) VALUES ('linger', :holder, now() + make_interval(secs => :seconds))
    ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, expires_at = EXCLUDED.expires_at
