-- Remove these events from the log. The trigger events_kept refuses it where somebody needs one of them by now.
--
-- Binds      offsets  bigint[]
-- Returns    "offset" of each that was there
-- Relies on  nothing; a transaction of its own that ends at once: others that delete, seek back or replay wait for it
DELETE FROM fq.events WHERE "offset" = ANY (CAST(:offsets AS bigint[])) RETURNING "offset"
