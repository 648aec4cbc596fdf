-- Remember why a client could not be served; its next good pass forgets it.
--
-- Binds      client   text
--            trouble  text
-- Returns    nothing
-- Relies on  nothing
UPDATE fq.clients SET trouble = :trouble, trouble_at = now()
 WHERE id = :client AND trouble IS DISTINCT FROM :trouble
