-- Read what is final now, without moving the horizon.
--
-- Binds      wait_ms  integer, how long to wait for writers that are about to commit
-- Returns    the horizon
-- Relies on  nothing
SELECT fq.read_horizon(:wait_ms)
