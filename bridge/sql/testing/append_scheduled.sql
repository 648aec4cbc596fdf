-- Append all scheduled events to the log, as if they were due.
--
-- Binds      nothing
-- Returns    one row
-- Relies on  no search path: it runs on a test's own connection (decision 30)
SELECT fq.append_scheduled(ARRAY(SELECT s.number FROM fq.scheduled s))
