-- Find a table of the schema of which row level security hides rows from this role.
--
-- Binds      none
-- Returns    "table", me (the role); no row if nothing is hidden
-- Relies on  nothing
SELECT c.relname AS "table", current_user AS me
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'fq' AND c.relrowsecurity AND row_security_active(c.oid)
 ORDER BY c.relname LIMIT 1
