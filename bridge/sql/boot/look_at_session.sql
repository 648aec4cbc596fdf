-- Tell which process of the server answers, whether it takes writes, and how it looks up names before we change that.
--
-- Binds      none
-- Returns    pid; read_only: `on` if nothing can be written, else `off`; search_path; row_security; started, which
--            tells this server from the one before a restart or a fail-over
-- Relies on  nothing
SELECT pg_catalog.pg_backend_pid() AS pid, pg_catalog.current_setting('transaction_read_only') AS read_only,
       pg_catalog.current_setting('search_path') AS search_path,
       pg_catalog.current_setting('row_security') AS row_security,
       CAST(EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()) AS pg_catalog.text) AS started
