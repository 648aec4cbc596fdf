-- Make the row that a pump locks to move many clients of a bridge at once.
--
-- Binds      bridge  text
-- Returns    nothing
-- Relies on  nothing
INSERT INTO fq.turns (bridge, name, holder, expires_at) VALUES (:bridge, 'pass_over', '', 'epoch')
    ON CONFLICT (bridge, name) DO NOTHING
