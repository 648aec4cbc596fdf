-- Remove entries of the journal that are archived.
--
-- Binds      ids  bigint[]
-- Returns    nothing
-- Relies on  the entry that says so having been written in this transaction
DELETE FROM fq.journal WHERE id = ANY (CAST(:ids AS bigint[]))
