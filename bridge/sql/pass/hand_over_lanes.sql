-- Hand over the next event of every key whose predecessor is done, and remember where its lane goes on. A key that a
-- redriven or replayed event keeps busy, or that is held, waits for that one: its end makes the lane ready again.
--
-- Binds      client      text
--            dispatched  bigint, how far the log was handed over
--            room        bigint, most events to hand over
--            filter      text, regular expression over '.' || topic
--            epoch       integer, the client's
--            call        text, event | payload | kwargs
--            lease       double precision, seconds until an answer is due
-- Returns    "offset", attempt, epoch, topic, body, traceparent, tracestate, part of each, in order
-- Relies on  lock_client having run in this transaction
WITH open AS NOT MATERIALIZED (
    SELECT * FROM fq.deliveries
     WHERE client_id = :client AND "offset" >= (SELECT lowest FROM fq.clients WHERE id = :client)
), ready AS MATERIALIZED (
    SELECT l.key, l."offset",
           l.key IN (SELECT d.key FROM open d WHERE d.key IS NOT NULL)
           OR l.key IN (SELECT p.key FROM fq.parked p WHERE p.client_id = :client AND p.held AND p.key IS NOT NULL) AS busy
      FROM fq.lanes l
     WHERE l.client_id = :client AND l.ready
     ORDER BY l."offset" LIMIT :room
), heads AS MATERIALIZED (
    SELECT r.key, two.next, two.later
      FROM ready r CROSS JOIN LATERAL (
           SELECT min(e."offset") AS next, nullif(max(e."offset"), min(e."offset")) AS later
             FROM (SELECT "offset" FROM fq.events
                    WHERE key = r.key AND "offset" >= r."offset" AND "offset" <= :dispatched AND '.' || topic ~ :filter
                    ORDER BY "offset" LIMIT 2) e) two
     WHERE NOT r.busy
), waiting AS (
    UPDATE fq.lanes l SET ready = false FROM ready r WHERE l.client_id = :client AND l.key = r.key AND r.busy
), going_on AS (
    UPDATE fq.lanes l SET "offset" = h.later, ready = false
      FROM heads h WHERE l.client_id = :client AND l.key = h.key AND h.later IS NOT NULL
), ended AS (
    DELETE FROM fq.lanes l USING heads h WHERE l.client_id = :client AND l.key = h.key AND h.later IS NULL
), taken AS (
    INSERT INTO fq.deliveries (client_id, "offset", epoch, key, due_at)
    SELECT :client, h.next, :epoch, h.key, now() + make_interval(secs => :lease) FROM heads h WHERE h.next IS NOT NULL
    RETURNING "offset"
)
SELECT e."offset", 1 AS attempt, CAST(:epoch AS integer) AS epoch, e.topic,
       fq.body(e."offset", e.topic, e.key, e.payload, e.headers, e.created_at, :client, 1, :call) AS body,
       e.headers ->> 'traceparent' AS traceparent, e.headers ->> 'tracestate' AS tracestate, NULL AS part
  FROM taken t JOIN fq.events e ON e."offset" = t."offset"
 ORDER BY e."offset"
