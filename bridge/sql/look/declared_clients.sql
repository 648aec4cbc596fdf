-- List the clients that the code of an app has declared.
--
-- Binds      app     text, whose code it is
--            bridge  text, the app's
-- Returns    id, "offset", open and parked of each, in the order of their ids
-- Relies on  nothing
SELECT c.id, c."offset",
       (SELECT count(*) FROM fq.open(c.id)) AS open,
       (SELECT count(*) FROM fq.parked p WHERE p.client_id = c.id) AS parked
  FROM fq.clients c
 WHERE c.declared_by = :app AND c.bridge = :bridge AND c.task IS NOT NULL
 ORDER BY c.id
