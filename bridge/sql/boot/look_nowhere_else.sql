-- Look up no name anywhere but in pg_catalog, and read strings as the standard does, until this transaction ends. With
-- standard_conforming_strings off, a schema would be made whose patterns have lost their backslashes.
--
-- Binds      none
-- Returns    nothing of interest
-- Relies on  a transaction
SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
       pg_catalog.set_config('row_security', 'off', true),
       pg_catalog.set_config('standard_conforming_strings', 'on', true)
