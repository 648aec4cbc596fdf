-- Tell which log this is, and how far it is pruned.
--
-- Binds      nothing
-- Returns    id as text, generation, pruned
-- Relies on  nothing
SELECT CAST(l.id AS text) AS id, fq.generation() AS generation, l.pruned FROM fq.log l
