-- Tell what this role may do about roles.
--
-- Binds      roles  text[], names of roles
-- Returns    me, owner (of the schema fq), owns (whether this role may act as the owner), may_create (roles), there:
--            which of the roles are there
-- Relies on  the schema fq being there
SELECT CAST(current_user AS text) AS me, CAST(pg_get_userbyid(n.nspowner) AS text) AS owner,
       pg_has_role(n.nspowner, 'USAGE') AS owns, r.rolsuper OR r.rolcreaterole AS may_create,
       ARRAY(SELECT CAST(o.rolname AS text) FROM pg_roles o WHERE o.rolname = ANY (CAST(:roles AS text[]))) AS there
  FROM pg_namespace n CROSS JOIN pg_roles r
 WHERE n.nspname = 'fq' AND r.rolname = current_user
