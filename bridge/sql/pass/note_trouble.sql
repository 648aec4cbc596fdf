-- Remember why a client could not be served; its next good pass forgets it. One that another transaction holds is not
-- waited for.
--
-- Binds      client   text
--            trouble  text
-- Returns    nothing
-- Relies on  nothing
UPDATE fq.clients SET trouble = :trouble, trouble_at = now()
 WHERE id = (SELECT c.id FROM fq.clients c WHERE c.id = :client AND c.trouble IS DISTINCT FROM :trouble
                FOR NO KEY UPDATE SKIP LOCKED)
