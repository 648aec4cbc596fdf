-- List the clients of a bridge whose oldest event that is not finished is older than a limit.
--
-- Binds      bridge   text
--            seconds  double precision
-- Returns    client, state, "offset" (of that event), seconds (its age), offsets (from the cursor to the horizon)
-- Relies on  nothing
SELECT c.id AS client, c.state, e."offset",
       CAST(extract(epoch FROM now() - e.created_at) AS double precision) AS seconds,
       greatest(0, h."offset" - c."offset") AS offsets
  FROM fq.clients c
 CROSS JOIN fq.horizon h
 CROSS JOIN LATERAL (
       SELECT e."offset", e.created_at FROM fq.events e WHERE e."offset" > c."offset" ORDER BY e."offset" LIMIT 1) e
 WHERE c.task IS NOT NULL AND c.bridge = :bridge
   AND e.created_at < now() - make_interval(secs => :seconds)
 ORDER BY c.id
