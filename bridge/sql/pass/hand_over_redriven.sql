-- Hand over parked events that somebody wants to try again, oldest first, one of a key at a time. Attempts go on counting
-- where they ended, in the newest generation that had the event, so no task id is ever used twice. In a batch each goes by
-- itself, because it failed before.
--
-- Binds      client   text
--            room     bigint, most events to hand over
--            ordered  boolean, whether events of one key wait for each other
--            epoch    integer, the client's
--            call     text, event | payload | kwargs
--            lease    double precision, seconds until an answer is due
-- Returns    "offset", attempt, epoch, topic, body, traceparent, tracestate, part of each, in order
-- Relies on  lock_client having run in this transaction
WITH open AS NOT MATERIALIZED (
    SELECT * FROM fq.deliveries
     WHERE client_id = :client AND "offset" >= (SELECT lowest FROM fq.clients WHERE id = :client)
), free AS MATERIALIZED (
    SELECT p."offset" FROM fq.parked p
     WHERE p.client_id = :client AND p.redrive
       AND (p.key IS NULL OR NOT :ordered
            OR p.key NOT IN (SELECT d.key FROM open d WHERE d.key IS NOT NULL)
            AND NOT EXISTS (SELECT FROM fq.parked o WHERE o.client_id = :client AND o.key = p.key
                               AND (o.redrive OR o.held) AND o."offset" < p."offset"))
     ORDER BY p."offset" LIMIT :room
), gone AS (
    DELETE FROM fq.parked p USING free f WHERE p.client_id = :client AND p."offset" = f."offset"
    RETURNING p.*
), taken AS (
    INSERT INTO fq.deliveries (client_id, "offset", epoch, key, part, attempt, earlier_attempts, due_at, first_at, error_type,
                               error, traceback)
    SELECT g.client_id, g."offset", greatest(g.epoch, :epoch), g.key, g."offset", g.attempt + 1, g.attempt,
           now() + make_interval(secs => :lease), g.first_at, g.error_type, g.error, g.traceback
      FROM gone g
    RETURNING "offset", attempt, epoch
), lowered AS (
    UPDATE fq.clients c SET lowest = t.lowest FROM (SELECT min("offset") AS lowest FROM taken) t
     WHERE c.id = :client AND t.lowest < c.lowest
)
SELECT e."offset", t.attempt, t.epoch, e.topic,
       fq.body(e."offset", e.topic, e.key, e.payload, e.headers, e.created_at, :client, t.attempt, :call) AS body,
       e.headers ->> 'traceparent' AS traceparent, e.headers ->> 'tracestate' AS tracestate, t."offset" AS part
  FROM taken t JOIN fq.events e ON e."offset" = t."offset"
 ORDER BY e."offset"
