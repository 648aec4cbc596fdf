-- Tell which process of the server answers.
--
-- Binds      none
-- Returns    the process id
-- Relies on  nothing
SELECT pg_catalog.pg_backend_pid()
