-- Count the scheduled events of a key that have content to be erased.
--
-- Binds      key  text
-- Returns    how many
-- Relies on  nothing
SELECT count(*) FROM fq.scheduled WHERE key = :key AND NOT (payload = fq.erased() AND headers = '{}')
