-- Tell which process of the server this session is, and how it looks up names before we change that.
--
-- Binds      none
-- Returns    the process id, search_path, row_security
-- Relies on  nothing
SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('search_path'),
       pg_catalog.current_setting('row_security')
