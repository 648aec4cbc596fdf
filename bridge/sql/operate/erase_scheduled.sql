-- Erase what the scheduled events of a key hold; they are still appended when they are due.
--
-- Binds      key    text
-- Returns    number of each that had content
-- Relies on  nothing
UPDATE fq.scheduled SET payload = fq.erased(), headers = '{}'
 WHERE key = :key AND NOT (payload = fq.erased() AND headers = '{}')
RETURNING number
