-- Cancel scheduled events: they are never appended to the log.
--
-- Binds      numbers  bigint[]
--            ids      text[]
-- Returns    number of each that was there
-- Relies on  nothing: one that the pump appends at this moment is waited for, and is not there any more
DELETE FROM fq.scheduled WHERE number = ANY (CAST(:numbers AS bigint[])) OR id = ANY (CAST(:ids AS text[]))
RETURNING number
