-- Tell where a key stands at each client, by the index of keys.
--
-- Binds      key   text
--            most  bigint, most events to look at, and to count
-- Returns    client, is_reader, state, counted_after; handled: the last event of the key that is finished, NULL if none
--            is among the last so many that were read; open and parked (offsets, at most so many); waiting: events that
--            were read and wait for an earlier one; unread: those that were not read yet
-- Relies on  nothing
SELECT c.id AS client, c.task IS NULL AS is_reader, c.state, c.counted_after, h."offset" AS handled, o.open, p.parked,
       w.waiting, u.unread
  FROM fq.clients c
 CROSS JOIN LATERAL (SELECT CASE WHEN c.task IS NULL THEN c."offset" ELSE c.dispatched END AS upto) r
  LEFT JOIN fq.lanes l ON l.client_id = c.id AND l.key = :key
 CROSS JOIN LATERAL (SELECT coalesce(array_agg(d."offset" ORDER BY d."offset"), '{}') AS open
                       FROM fq.open(c.id) d WHERE d.key = :key) o
 CROSS JOIN LATERAL (SELECT coalesce(array_agg(q."offset" ORDER BY q."offset"), '{}') AS parked
                       FROM (SELECT g."offset" FROM fq.parked g WHERE g.client_id = c.id AND g.key = :key
                              ORDER BY g."offset" DESC LIMIT :most) q) p
  LEFT JOIN LATERAL (
       SELECT f."offset" FROM (
              SELECT e."offset", e.topic FROM fq.events e
               WHERE e.key = :key AND e."offset" <= least(r.upto, l."offset" - 1)
               ORDER BY e."offset" DESC LIMIT :most) f
        WHERE '.' || f.topic ~ c.filter AND f."offset" <> ALL (o.open) AND f."offset" <> ALL (p.parked)
        ORDER BY f."offset" DESC LIMIT 1) h ON true
 CROSS JOIN LATERAL (
       SELECT count(*) AS waiting FROM (
              SELECT e.topic FROM fq.events e
               WHERE e.key = :key AND e."offset" >= l."offset" AND e."offset" <= c.dispatched
               ORDER BY e."offset" LIMIT :most) f WHERE '.' || f.topic ~ c.filter) w
 CROSS JOIN LATERAL (
       SELECT count(*) AS unread FROM (
              SELECT e.topic FROM fq.events e WHERE e.key = :key AND e."offset" > r.upto
               ORDER BY e."offset" LIMIT :most) f WHERE '.' || f.topic ~ c.filter) u
 ORDER BY c.id
