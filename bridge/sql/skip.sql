-- Move all clients at once over the next events where none of these matches, so that only the others need a pass of their own.
--
-- Binds      horizon  bigint
--            slice    bigint, most events to look at
-- Returns    nothing
-- Relies on  nothing; clients that somebody else has are left to him
WITH behind AS MATERIALIZED (
    SELECT s.id, s.dispatched, c.filter
      FROM fq.served s JOIN fq.clients c ON c.id = s.id
     WHERE s.dispatched < :horizon AND NOT s."full" AND s.state = 'active' AND NOT s.woken
       AND coalesce(c.trouble_at < now() - interval '5 seconds', true)  -- who can't be served must not hold up the others
), slice AS MATERIALIZED (
    SELECT e."offset", e.topic FROM fq.events e
     WHERE e."offset" > (SELECT min(dispatched) FROM behind) AND e."offset" <= :horizon
     ORDER BY e."offset" LIMIT :slice
), seen AS MATERIALIZED (
    SELECT coalesce((SELECT max("offset") FROM slice HAVING count(*) = :slice), :horizon) AS upto
), topics AS MATERIALIZED (
    SELECT topic, max("offset") AS last FROM slice GROUP BY topic
), wanted AS MATERIALIZED (
    SELECT f.filter, m.last  -- a filter at a time: Postgres compiles a regular expression anew when it has seen 32 others
      FROM (SELECT DISTINCT filter FROM behind) f
     CROSS JOIN LATERAL (SELECT max(t.last) AS last FROM topics t WHERE '.' || t.topic ~ f.filter OFFSET 0) m
), passing AS MATERIALIZED (
    SELECT c.id
      FROM fq.clients c JOIN behind b ON b.id = c.id AND b.dispatched = c.dispatched LEFT JOIN wanted w ON w.filter = b.filter
     WHERE coalesce(w.last, -1) <= b.dispatched
       FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE fq.clients c
   SET dispatched = seen.upto, "offset" = CASE WHEN c."offset" = c.dispatched THEN seen.upto ELSE c."offset" END
  FROM passing p, seen
 WHERE c.id = p.id AND c.dispatched < seen.upto
