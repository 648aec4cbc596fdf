-- Move all clients of a bridge at once over the next events where none of these matches, so that only the others need a
-- pass each. A client that another transaction holds stays where it is; a pump that does the same already is waited
-- for.
--
-- Binds      bridge   text
--            horizon  bigint
--            slice    bigint, most events to look at
-- Returns    nothing
-- Relies on  nothing
WITH turn AS MATERIALIZED (  -- two at once would each pass by the clients that the other has locked
    SELECT FROM fq.turns WHERE bridge = :bridge AND name = 'pass_over' FOR UPDATE
), behind AS MATERIALIZED (
    SELECT s.id, s.dispatched, c.filter, c.topics
      FROM fq.served s JOIN fq.clients c ON c.id = s.id
     WHERE s.bridge = :bridge AND s.dispatched < :horizon AND NOT s."full" AND s.state = 'active' AND NOT s.woken
       AND coalesce(c.trouble_at < now() - interval '5 seconds', true)  -- a client in trouble must not hold up others
), slice AS MATERIALIZED (
    SELECT e."offset", e.topic FROM fq.events e
     WHERE e."offset" > (SELECT min(dispatched) FROM behind) AND e."offset" <= :horizon
     ORDER BY e."offset" LIMIT :slice
), seen AS MATERIALIZED (
    SELECT coalesce((SELECT max("offset") FROM slice HAVING count(*) = :slice), :horizon) AS upto
), topics AS MATERIALIZED (
    SELECT topic, max("offset") AS last FROM slice GROUP BY topic
), wanted AS MATERIALIZED (
    -- Take a filter at a time, and only the topics that begin as one of its patterns does up to the first wildcard.
    -- Postgres compiles a regular expression anew when it has seen 32 others, which takes a hundred times as long.
    SELECT f.filter, m.last
      FROM (SELECT DISTINCT ON (filter) filter, topics FROM behind) f
     CROSS JOIN LATERAL (
           SELECT max(t.last) AS last FROM topics t
            WHERE CASE WHEN EXISTS (
                            SELECT FROM unnest(f.topics) AS pattern
                             WHERE starts_with(t.topic, rtrim(split_part(translate(pattern, '*', '#'), '#', 1), '.')))
                  THEN '.' || t.topic ~ f.filter END
           OFFSET 0) m
     WHERE m.last IS NOT NULL  -- few rows: else every client is compared with every filter
), passing AS MATERIALIZED (
    SELECT c.id
      FROM fq.clients c JOIN behind b ON b.id = c.id AND b.dispatched = c.dispatched
      LEFT JOIN wanted w ON w.filter = b.filter LEFT JOIN turn ON true  -- reads `turn`: it waits for the other pump
     WHERE coalesce(w.last, -1) <= b.dispatched
       FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE fq.clients c
   SET dispatched = seen.upto, "offset" = CASE WHEN c."offset" = c.dispatched THEN seen.upto ELSE c."offset" END
  FROM passing p, seen
 WHERE c.id = p.id AND c.dispatched < seen.upto
