-- Begin a generation of the log. The horizon goes back to what is certainly final, and moves on from there by waiting
-- out those who write now.
--
-- Binds      starts  bigint[], the first offset of each generation
--            final   bigint, the horizon is not above this
-- Returns    nothing
-- Relies on  hold_all_clients having run in this transaction
WITH log AS (
    UPDATE fq.log SET starts = CAST(:starts AS bigint[])
)
UPDATE fq.horizon h
   SET "offset" = least(h."offset", CAST(:final AS bigint)), steps = '[]', updated_at = clock_timestamp()
