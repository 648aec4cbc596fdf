-- Bound every statement and every wait for a lock; look up no name anywhere but in pg_catalog, whatever the role or the
-- database says; and let row level security raise an error instead of hiding rows.
--
-- Binds      statement_ms  text, milliseconds
--            lock_ms       text, milliseconds
--            local         boolean, whether for this transaction only
-- Returns    nothing of interest
-- Relies on  a transaction, where local: the settings end with it
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', :local),
       pg_catalog.set_config('row_security', 'off', :local),
       pg_catalog.set_config('statement_timeout', :statement_ms, :local),
       pg_catalog.set_config('lock_timeout', :lock_ms, :local)
