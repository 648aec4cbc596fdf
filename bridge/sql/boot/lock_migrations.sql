-- Let one migration run at a time, until its transaction ends.
--
-- Binds      none
-- Returns    nothing of interest
-- Relies on  a transaction
SELECT pg_advisory_xact_lock(hashtext('celery-event-bridge migrations'))
