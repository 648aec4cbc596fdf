-- Hand over the next events of a client's oldest replay, beside its cursor: in order, no faster than its rate, and no
-- further than the first event that is open at the moment or whose key is not free. Parked events stay parked.
--
-- Binds      client   text
--            room     bigint, most events to hand over
--            slice    bigint, most events to look at
--            filter   text, regular expression over '.' || topic, the client's
--            ordered  boolean, whether events of one key wait for each other
--            call     text, event | payload | kwargs
--            lease    double precision, seconds until an answer is due
-- Returns    "offset", attempt, epoch, topic, body, traceparent, tracestate of each event handed over, in order; then one
--            row with "offset" NULL whose within says in how many seconds there may be more: 0 at once, NULL never, 1
--            where an event waits for others
-- Relies on  lock_client having run in this transaction
WITH open AS NOT MATERIALIZED (
    SELECT * FROM fq.deliveries
     WHERE client_id = :client AND "offset" >= (SELECT lowest FROM fq.clients WHERE id = :client)
), replay AS MATERIALIZED (
    SELECT r.id, r.epoch, r.next, r.upto, r.filter, r.per_second, r.sent, b.base,
           greatest(0, floor(extract(epoch FROM now() - b.base) * r.per_second + 0.001) + 1 - r.sent) AS allowed
      FROM fq.replays r CROSS JOIN LATERAL (  -- what a standstill would make up for is at most one second's worth
           SELECT greatest(r.started_at, now() - make_interval(secs => (r.sent + greatest(r.per_second, 1) - 1) / r.per_second))
                  AS base) b
     WHERE r.client_id = :client
     ORDER BY r.id LIMIT 1
), slice AS MATERIALIZED (
    SELECT e."offset", e.topic, e.key FROM fq.events e
     WHERE e."offset" >= (SELECT next FROM replay) AND e."offset" <= (SELECT upto FROM replay)
     ORDER BY e."offset" LIMIT :slice
), blocked AS MATERIALIZED (
    SELECT d.key FROM open d WHERE d.key IS NOT NULL AND :ordered
     UNION
    SELECT l.key FROM fq.lanes l WHERE l.client_id = :client AND :ordered
     UNION
    SELECT p.key FROM fq.parked p WHERE p.client_id = :client AND p.held AND p.key IS NOT NULL AND :ordered
), numbered AS MATERIALIZED (
    SELECT s."offset", s.key, row_number() OVER (ORDER BY s."offset") AS nth,
           s."offset" IN (SELECT d."offset" FROM open d)
           OR :ordered AND s.key IS NOT NULL
              AND (s.key IN (SELECT key FROM blocked) OR row_number() OVER (PARTITION BY s.key ORDER BY s."offset") > 1) AS waits
      FROM slice s CROSS JOIN replay r
     WHERE '.' || s.topic ~ r.filter AND '.' || s.topic ~ :filter
       AND s."offset" NOT IN (SELECT p."offset" FROM fq.parked p WHERE p.client_id = :client AND p."offset" >= r.next
                                 AND p."offset" <= r.upto)
), seen AS MATERIALIZED (
    SELECT least(waits."offset", beyond."offset", (SELECT max("offset") + 1 FROM slice HAVING count(*) = :slice), r.upto + 1)
           AS next, waits."offset" AS waits, beyond."offset" AS beyond, r.allowed <= :room AS too_fast
      FROM replay r
     CROSS JOIN (SELECT min("offset") AS "offset" FROM numbered WHERE waits) waits
     CROSS JOIN (SELECT min(n."offset") AS "offset" FROM numbered n, replay WHERE n.nth > least(allowed, :room)) beyond
), taken AS (
    INSERT INTO fq.deliveries (client_id, "offset", epoch, key, due_at)
    SELECT :client, n."offset", r.epoch, n.key, now() + make_interval(secs => :lease)
      FROM numbered n, seen s, replay r
     WHERE n."offset" < s.next
    RETURNING "offset", epoch
), lowered AS (
    UPDATE fq.clients c SET lowest = t.lowest FROM (SELECT min("offset") AS lowest FROM taken) t
     WHERE c.id = :client AND t.lowest < c.lowest
), moved AS (
    UPDATE fq.replays p SET next = s.next, sent = p.sent + (SELECT count(*) FROM taken), started_at = r.base
      FROM seen s, replay r
     WHERE p.id = r.id AND s.next <= r.upto
), ended AS (
    DELETE FROM fq.replays p USING seen s, replay r WHERE p.id = r.id AND s.next > r.upto
)
SELECT e."offset", 1 AS attempt, t.epoch, e.topic,
       fq.body(e."offset", e.topic, e.key, e.payload, e.headers, e.created_at, :client, 1, :call) AS body,
       e.headers ->> 'traceparent' AS traceparent, e.headers ->> 'tracestate' AS tracestate, NULL AS within
  FROM taken t JOIN fq.events e ON e."offset" = t."offset"
 UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       CAST(CASE WHEN s.next > r.upto THEN CASE WHEN (SELECT count(*) FROM fq.replays p WHERE p.client_id = :client) > 1 THEN 0 END
            WHEN s.next = s.waits THEN 1
            WHEN s.next = s.beyond AND s.too_fast
            THEN greatest(0, extract(epoch FROM r.base - now()) + (r.sent + (SELECT count(*) FROM taken)) / r.per_second)
            ELSE 0 END AS double precision)
  FROM seen s, replay r
 ORDER BY 1 NULLS LAST
