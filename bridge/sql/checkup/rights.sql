-- Tell what roles may do with each table and view of the schema.
--
-- Binds      roles  text[], names of roles; those that are not there are left out
-- Returns    role, me (whether it is that of this session), usage (of the schema), "table", is_view, privileges: those
--            of SELECT, INSERT, UPDATE and DELETE that it has, on the whole of it, or for INSERT on some column
-- Relies on  nothing
SELECT CAST(r.rolname AS text) AS role, r.rolname = current_user AS me,
       has_schema_privilege(r.oid, c.relnamespace, 'USAGE') AS usage,
       CAST(c.relname AS text) AS "table", c.relkind = 'v' AS is_view,
       ARRAY(SELECT p.name FROM unnest(ARRAY['SELECT', 'UPDATE', 'DELETE']) AS p (name)
              WHERE has_table_privilege(r.oid, c.oid, p.name)
              UNION ALL
             SELECT 'INSERT' WHERE has_any_column_privilege(r.oid, c.oid, 'INSERT')) AS privileges
  FROM pg_roles r CROSS JOIN pg_class c
 WHERE (r.rolname = current_user OR r.rolname = ANY (CAST(:roles AS text[])))
   AND c.relnamespace = to_regnamespace('fq') AND c.relkind IN ('r', 'p', 'v')
 ORDER BY 1, 4
