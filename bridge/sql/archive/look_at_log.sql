-- Tell which log this is, how far it is pruned, and how far its journal goes.
--
-- Binds      nothing
-- Returns    id as text, starts, of the generations, pruned, last_entry: the number of the journal's last entry
-- Relies on  nothing
SELECT CAST(l.id AS text) AS id, l.starts, l.pruned,
       coalesce((SELECT max(j.id) FROM fq.journal j), 0) AS last_entry
  FROM fq.log l
