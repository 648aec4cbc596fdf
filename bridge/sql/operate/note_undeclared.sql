-- Note which clients the code of an app does not declare any more.
--
-- Binds      app       text, whose code it is
--            bridge    text, the app's
--            declared  text[], ids of those that it declares
-- Returns    id of each that was declared until now
-- Relies on  nothing
UPDATE fq.clients SET undeclared_at = now()
 WHERE declared_by = :app AND bridge = :bridge AND undeclared_at IS NULL
   AND id <> ALL (CAST(:declared AS text[]))
RETURNING id
