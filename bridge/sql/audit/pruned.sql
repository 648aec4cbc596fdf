-- Return the offset up to which events may be gone.
--
-- Binds      none
-- Returns    pruned
-- Relies on  nothing
SELECT pruned FROM fq.log
