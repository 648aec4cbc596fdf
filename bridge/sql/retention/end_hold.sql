-- End a hold.
--
-- Binds      name  text
-- Returns    name; no row if there is none
-- Relies on  nothing
DELETE FROM fq.holds WHERE name = :name RETURNING name
