-- Find the last offset before everything that was created at or after a time.
--
-- Binds      since    timestamptz
--            horizon  bigint
-- Returns    the offset; the horizon if there is no event as young as that
-- Relies on  advance_horizon having given the horizon
SELECT least(coalesce((SELECT min("offset") - 1 FROM fq.events WHERE created_at >= :since), :horizon), :horizon)
