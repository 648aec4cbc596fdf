-- Look up no name anywhere but in pg_catalog until this transaction ends, whatever the session says.
--
-- Binds      none
-- Returns    nothing of interest
-- Relies on  a transaction
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
       pg_catalog.set_config('row_security', 'off', true)
