-- Tell where the clients stand, in numbers that are cheap to have: no more of the log is read than is bound.
--
-- Binds      clients  bigint, most clients; those that the bridge drives come first
--            most     bigint, most events, lanes or parked events of one client to look at; with many clients less
-- Returns    client, bridge, state (`reader` of a plain SQL reader), trouble (whether it has one), lag_events (matching
--            events above the cursor; where there are more than were looked at, estimated by the share that matches),
--            lag_seconds (age of the oldest of them), open, window, retrying, oldest_open_seconds, waiting (at most as
--            many as were looked at), parked, and the counters delivered, succeeded, failed, duplicates, retried,
--            recalled
-- Relies on  nothing
WITH shown AS MATERIALIZED (
    SELECT c.id, least(CAST(:most AS bigint), 10 * CAST(:most AS bigint) / count(*) OVER () + 100) AS most
      FROM fq.clients c ORDER BY c.task IS NULL, c.id LIMIT :clients
)
SELECT c.id AS client, c.bridge, CASE WHEN c.task IS NULL THEN 'reader' ELSE c.state END AS state,
       c.trouble IS NOT NULL AS trouble,
       lag.events + CASE WHEN lag.looked < s.most THEN 0
                         ELSE CAST(greatest(0, l.last - lag.upto) * (CAST(lag.events AS double precision) / lag.looked)
                                   AS bigint) END AS lag_events,
       CAST(coalesce(extract(epoch FROM clock_timestamp() - lag.oldest), 0) AS double precision) AS lag_seconds,
       d.open, fq.window_of(c) AS "window", d.retrying,
       CAST(coalesce(extract(epoch FROM clock_timestamp() - d.oldest), 0) AS double precision) AS oldest_open_seconds,
       w.waiting, CASE WHEN p.parked < s.most THEN p.parked ELSE greatest(p.parked, c.owed - d.open) END AS parked,
       c.delivered, c.succeeded, c.failed, c.duplicates, c.retried, c.recalled
  FROM shown s JOIN fq.clients c ON c.id = s.id
 CROSS JOIN (SELECT fq.last_drawn() AS last) l
 CROSS JOIN LATERAL (
       SELECT count(*) AS looked, max(e."offset") AS upto, count(*) FILTER (WHERE e.matches) AS events,
              min(e.created_at) FILTER (WHERE e.matches) AS oldest
         FROM (SELECT e."offset", e.created_at, '.' || e.topic ~ c.filter AS matches FROM fq.events e
                WHERE e."offset" > c."offset" ORDER BY e."offset" LIMIT s.most) e) lag
 CROSS JOIN LATERAL (SELECT count(*) AS open, count(*) FILTER (WHERE o.state = 'retrying') AS retrying,
                            min(o.first_at) AS oldest FROM fq.open(c.id) o) d
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE '.' || w.topic ~ c.filter) AS waiting
         FROM (SELECT e.topic FROM fq.lanes n JOIN fq.events e
                      ON e.key = n.key AND e."offset" >= n."offset" AND e."offset" <= c.dispatched
                WHERE n.client_id = c.id LIMIT s.most) w) w
 CROSS JOIN LATERAL (
       SELECT count(*) AS parked FROM (SELECT FROM fq.parked p WHERE p.client_id = c.id LIMIT s.most) p) p
 ORDER BY c.task IS NULL, c.id
