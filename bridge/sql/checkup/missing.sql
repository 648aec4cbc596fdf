-- Name the objects of the schema that are not there: somebody has dropped or renamed them.
--
-- Binds      kinds  text[], such as `table`
--            names  text[], without the schema, in the same order
-- Returns    one row for each that is missing: kind and name
-- Relies on  nothing
SELECT o.kind, o.name
  FROM unnest(CAST(:kinds AS text[]), CAST(:names AS text[])) WITH ORDINALITY AS o (kind, name, nth)
 WHERE NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = 'fq' AND c.relname = o.name)
   AND NOT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                    WHERE n.nspname = 'fq' AND p.proname = o.name)
   AND NOT EXISTS (SELECT FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
                    WHERE n.nspname = 'fq' AND t.typname = o.name)
   AND NOT EXISTS (SELECT FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
                     JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE n.nspname = 'fq' AND t.tgname = o.name)
 ORDER BY o.nth
