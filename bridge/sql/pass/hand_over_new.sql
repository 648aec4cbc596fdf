-- Hand the next matching events over to a client: remember them as deliveries, keys that must wait as lanes, and how
-- far the log was looked through.
--
-- Binds      client    text
--            after     bigint, what was handed over so far
--            horizon   bigint, the last event that may be looked at
--            slice     bigint, most events to look at
--            room      bigint, most events to hand over
--            filter    text, regular expression over '.' || topic
--            ordered   boolean, whether events of one key wait for each other
--            epoch     integer, the client's
--            call      text, event | payload | kwargs
--            lease     double precision, seconds until an answer is due
-- Returns    "offset", attempt, epoch, topic, body, traceparent, tracestate of each event handed over, in order; then one
--            row with "offset" NULL whose upto says how far the log was looked through
-- Relies on  lock_client having run in this transaction
WITH open AS NOT MATERIALIZED (
    SELECT * FROM fq.deliveries
     WHERE client_id = :client AND "offset" >= (SELECT lowest FROM fq.clients WHERE id = :client)
), slice AS MATERIALIZED (
    SELECT e.* FROM fq.events e
     WHERE e."offset" > :after AND e."offset" <= :horizon
     ORDER BY e."offset" LIMIT :slice
), blocked AS MATERIALIZED (
    SELECT d.key FROM open d WHERE d.key IS NOT NULL AND :ordered
     UNION ALL
    SELECT l.key FROM fq.lanes l WHERE l.client_id = :client  -- in any order: a lane covers all that follows in its key
     UNION ALL
    SELECT p.key FROM fq.parked p WHERE p.client_id = :client AND p.held AND p.key IS NOT NULL AND :ordered
), matching AS (
    SELECT s."offset", s.key,
           s.key IS NOT NULL
           AND (s.key IN (SELECT key FROM blocked)
                OR :ordered AND row_number() OVER (PARTITION BY s.key ORDER BY s."offset") > 1) AS waits
      FROM slice s
     WHERE '.' || s.topic ~ :filter
), numbered AS (
    SELECT "offset", key, waits, count(*) FILTER (WHERE NOT waits) OVER (ORDER BY "offset") AS nth FROM matching
), seen AS MATERIALIZED (
    SELECT coalesce((SELECT min("offset") - 1 FROM numbered WHERE nth > :room),
                    (SELECT max("offset") FROM slice HAVING count(*) = :slice),
                    :horizon) AS upto
), taken AS (
    INSERT INTO fq.deliveries (client_id, "offset", epoch, key, due_at)
    SELECT :client, n."offset", :epoch, n.key, now() + make_interval(secs => :lease)
      FROM numbered n, seen
     WHERE NOT n.waits AND n."offset" <= seen.upto
    RETURNING "offset"
), waiting AS (
    INSERT INTO fq.lanes (client_id, key, "offset")
    SELECT :client, n.key, min(n."offset")
      FROM numbered n, seen
     WHERE n.waits AND n."offset" <= seen.upto
     GROUP BY n.key
        ON CONFLICT (client_id, key) DO NOTHING
), moved AS (
    UPDATE fq.clients c SET dispatched = seen.upto FROM seen WHERE c.id = :client AND c.dispatched <> seen.upto
)
SELECT s."offset", 1 AS attempt, CAST(:epoch AS integer) AS epoch, s.topic,
       fq.body(s."offset", s.topic, s.key, s.payload, s.headers, s.created_at, :client, 1, :call) AS body,
       s.headers ->> 'traceparent' AS traceparent, s.headers ->> 'tracestate' AS tracestate, NULL AS upto
  FROM slice s JOIN taken t ON t."offset" = s."offset"
 UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, upto FROM seen
 ORDER BY 1 NULLS LAST
