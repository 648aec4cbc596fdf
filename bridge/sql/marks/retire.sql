-- Let no other broker serve a bridge any more.
--
-- Binds      bridge  text
--            broker  text, the one that serves it from now on
-- Returns    nothing
-- Relies on  lock having run in this transaction
UPDATE fq.marks SET serving = false WHERE bridge = :bridge AND broker <> :broker AND serving
