-- Look up names as the role does until this transaction ends: for the SQL of a handler in a session of ours.
--
-- Binds      search_path   text
--            row_security  text
-- Returns    nothing of interest
-- Relies on  a transaction
SELECT pg_catalog.set_config('search_path', :search_path, true),
       pg_catalog.set_config('row_security', :row_security, true)
