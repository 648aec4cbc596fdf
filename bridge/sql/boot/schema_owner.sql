-- Tell whose schema `fq` is, how many tables it holds, and whether this role may create in it.
--
-- Binds      none
-- Returns    owner, tables, may_use, may_create, me; no row if there is no such schema
-- Relies on  nothing
SELECT pg_get_userbyid(n.nspowner) AS owner,
       (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v')) AS tables,
       has_schema_privilege(n.oid, 'USAGE') AS may_use, has_schema_privilege(n.oid, 'CREATE') AS may_create,
       current_user AS me
  FROM pg_namespace n
 WHERE n.nspname = 'fq'
