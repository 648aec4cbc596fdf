-- Let the events of a range be pruned again.
--
-- Binds      name  text
-- Returns    nothing
-- Relies on  nothing
DELETE FROM fq.holds WHERE name = :name
