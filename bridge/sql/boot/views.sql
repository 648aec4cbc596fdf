-- List the views of the schema.
--
-- Binds      none
-- Returns    name, as SQL has it
-- Relies on  nothing
SELECT quote_ident(c.relname) FROM pg_class c
 WHERE c.relnamespace = CAST('fq' AS regnamespace) AND c.relkind = 'v' ORDER BY 1
