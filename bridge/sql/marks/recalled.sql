-- Note that everything that a loss took has been recalled.
--
-- Binds      bridge   text
--            broker   text
--            lost_at  timestamptz, of that loss: a later one is still to be seen to
-- Returns    nothing
-- Relies on  nothing
UPDATE fq.marks SET lost_at = NULL WHERE bridge = :bridge AND broker = :broker AND lost_at = :lost_at
