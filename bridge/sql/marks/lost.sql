-- Read what is still to be recalled after a loss.
--
-- Binds      bridge  text
--            broker  text
-- Returns    lost_at, lost_why; no row if there is nothing
-- Relies on  nothing
SELECT m.lost_at, m.lost_why FROM fq.marks m
 WHERE m.bridge = :bridge AND m.broker = :broker AND m.lost_at IS NOT NULL
