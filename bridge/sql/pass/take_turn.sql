-- Take the turn to wait for work. The newest tick has it; the one before sees that before its next wait, and ends. A
-- tick that comes close behind another one, or began just before it, does not take it: such ticks have piled up.
--
-- Binds      bridge         text
--            holder         text
--            seconds        double precision, for how long
--            apart_seconds  double precision, least time since another tick took the turn
--            after_seconds  double precision, least time since the turn of another tick ended; negative: none
-- Returns    holder; no row if it is not taken
-- Relies on  nothing
INSERT INTO fq.turns AS t (bridge, name, holder, expires_at, taken_at)
    VALUES (:bridge, 'linger', :holder, now() + make_interval(secs => :seconds), now())
    ON CONFLICT (bridge, name) DO UPDATE
       SET holder = EXCLUDED.holder, expires_at = EXCLUDED.expires_at, taken_at = EXCLUDED.taken_at
     WHERE abs(extract(epoch FROM EXCLUDED.taken_at - t.taken_at)) > CAST(:apart_seconds AS numeric)
       AND extract(epoch FROM EXCLUDED.taken_at - t.expires_at) NOT BETWEEN 0 AND CAST(:after_seconds AS numeric)
RETURNING t.holder
