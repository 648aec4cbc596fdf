-- Tell whether the table of the schema's version is there. A view of that name is none: to read it would run what its
-- owner has put into it.
--
-- Binds      none
-- Returns    there
-- Relies on  nothing
SELECT EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('fq.alembic_version') AND c.relkind = 'r') AS there
