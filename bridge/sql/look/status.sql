-- Tell where every client stands.
--
-- Binds      client  text, or NULL for all
--            most    bigint, most events to count of a lag, or of what waits; ten times as many are looked at, of all
--                    these clients together
-- Returns    one row per client: client, bridge, state, state_reason, state_by, offset, dispatched, horizon, epoch,
--            task, queue, topics, ordering, window, lag_events (matching events above the cursor, at most `most`),
--            lag_at_least (whether there may be more), lag_seconds (age of the oldest of them), open, waiting (events
--            read that wait for their key, at most `most`), retrying, parked, delivered, succeeded, trouble, stopped
--            (why nothing goes on for any client, NULL if it does), declared_by, undeclared_at, and of the whole log:
--            scheduled (events for later, at most `most`), scheduled_late_seconds (since when the first of them is
--            due; 0 where none is)
-- Relies on  nothing
WITH shown AS MATERIALIZED (  -- where a client wants few events, its lag may be the whole log
    SELECT c.id, 10 * CAST(:most AS bigint) / count(*) OVER () + 100 AS looks
      FROM fq.clients c WHERE c.id = :client OR CAST(:client AS text) IS NULL
)
SELECT c.id AS client, c.bridge, CASE WHEN c.task IS NULL THEN 'reader' ELSE c.state END AS state,
       c.state_reason, c.state_by,
       c."offset", c.dispatched, h."offset" AS horizon, c.epoch, c.task, c.queue, c.topics, c.ordering, c."window",
       lag.events AS lag_events, lag.events >= :most OR h.drawn - c."offset" > n.looks AS lag_at_least,
       CAST(coalesce(extract(epoch FROM clock_timestamp() - lag.oldest), 0) AS double precision) AS lag_seconds,
       d.open, l.waiting, d.retrying, p.parked, c.delivered, c.succeeded, c.trouble,
       CASE WHEN c.task IS NOT NULL
            THEN coalesce(CASE WHEN current_setting('transaction_read_only') = 'off' THEN NULL
                               WHEN pg_is_in_recovery() THEN 'Postgres takes no writes: it is a standby: promote it, '
                                                             'or let bridge_database_url name the primary'
                               ELSE 'Postgres takes no writes: default_transaction_read_only is on: set it back when '
                                    'the fail-over or the maintenance is over' END,
                          (SELECT min(t.trouble) FROM fq.mark_troubles t WHERE t.bridge = c.bridge)) END AS stopped,
       c.declared_by, c.undeclared_at, s.scheduled,
       CAST(greatest(0, coalesce(extract(epoch FROM clock_timestamp() - s.due_at), 0)) AS double precision)
           AS scheduled_late_seconds
  FROM shown n JOIN fq.clients c ON c.id = n.id
 CROSS JOIN (SELECT (SELECT count(*) FROM (SELECT FROM fq.scheduled LIMIT :most) few) AS scheduled,
                    (SELECT e.due_at FROM fq.scheduled e ORDER BY coalesce(e.held_until, e.due_at), e.number LIMIT 1)
                        AS due_at) s
 CROSS JOIN (SELECT fq.read_horizon(0) AS "offset", fq.last_drawn() AS drawn) h
 CROSS JOIN LATERAL (SELECT count(*) AS open, count(*) FILTER (WHERE state = 'retrying') AS retrying
                       FROM fq.open(c.id)) d
 CROSS JOIN LATERAL (SELECT count(*) AS parked FROM fq.parked WHERE client_id = c.id) p
 CROSS JOIN LATERAL (SELECT count(*) AS waiting FROM (
                        SELECT FROM (
                               SELECT e.topic FROM fq.lanes l JOIN fq.events e
                                   ON e.key = l.key AND e."offset" >= l."offset" AND e."offset" <= c.dispatched
                                WHERE l.client_id = c.id LIMIT n.looks) y
                         WHERE '.' || y.topic ~ c.filter LIMIT :most) w) l
 CROSS JOIN LATERAL (SELECT count(*) AS events, min(created_at) AS oldest FROM (
                        SELECT y.created_at FROM (
                               SELECT e.topic, e.created_at FROM fq.events e
                                WHERE e."offset" > c."offset" ORDER BY e."offset" LIMIT n.looks) y
                         WHERE '.' || y.topic ~ c.filter LIMIT :most) young) lag
 ORDER BY c.id
