-- Tell whose schema `fq` is, how much is in it, and what this role may do there. Who owns a schema may put functions
-- and triggers into it, which run as whoever uses it: so he is trusted, or nothing of it is used.
--
-- Binds      none
-- Returns    owner; trusted: whether he is this role, one that it is a member of, the owner of the database or a
--            superuser; objects: how many tables, functions, types and so on it has; may_use, may_create, me; unused:
--            a role of ours that this role is a member of and does not inherit from; no row if there is no such schema
-- Relies on  nothing
SELECT CAST(o.rolname AS text) AS owner,
       n.nspowner IN (m.oid, b.datdba) OR o.rolname = 'pg_database_owner' OR o.rolsuper
           OR NOT (m.rolsuper OR s.rolsuper) AND pg_has_role(n.nspowner, 'USAGE') AS trusted,
       (SELECT count(*) FROM pg_depend d
         WHERE d.refclassid = CAST('pg_namespace' AS regclass) AND d.refobjid = n.oid
           AND d.classid <> CAST('pg_default_acl' AS regclass)) AS objects,
       has_schema_privilege(n.oid, 'USAGE') AS may_use, has_schema_privilege(n.oid, 'CREATE') AS may_create,
       current_user AS me,
       (SELECT min(CAST(g.rolname AS text)) FROM pg_roles g
         WHERE g.rolname IN ('fq_bridge', 'fq_operator', 'fq_monitor')
           AND pg_has_role(g.oid, 'MEMBER') AND NOT pg_has_role(g.oid, 'USAGE')) AS unused
  FROM pg_namespace n
  JOIN pg_roles o ON o.oid = n.nspowner
  JOIN pg_roles m ON m.rolname = current_user
  JOIN pg_roles s ON s.rolname = session_user
  JOIN pg_database b ON b.datname = current_database()
 WHERE n.nspname = 'fq'
