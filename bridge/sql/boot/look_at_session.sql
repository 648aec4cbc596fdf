-- Tell which process of the server answers, and whether it takes writes.
--
-- Binds      none
-- Returns    pid; read_only: `on` if nothing can be written, else `off`
-- Relies on  nothing
SELECT pg_backend_pid() AS pid, current_setting('transaction_read_only') AS read_only
