-- Hand over again what is due: retries, and deliveries whose lease ran out. Each is a new attempt. A delivery whose
-- handler is inside `bridge.transaction` is locked by it, which keeps its lease alive; of one key only the oldest goes. What
-- was never answered goes out by itself from now on, in case it took the rest of its batch down.
--
-- Binds      client  text
--            room    bigint, most deliveries to take
--            ordered boolean, whether events of one key wait for each other
--            call    text, event | payload | kwargs
--            lease   double precision, seconds until an answer is due
-- Returns    "offset", attempt, epoch, topic, body, traceparent, tracestate, part of each, in order
-- Relies on  lock_client and expired having run in this transaction
WITH due AS (
    SELECT d."offset" FROM fq.deliveries d
     WHERE d.client_id = :client
       AND d."offset" >= (SELECT lowest FROM fq.clients WHERE id = :client) AND d.due_at <= now() AND d.state <> 'done'
       AND (d.key IS NULL OR NOT :ordered OR NOT EXISTS (
            SELECT FROM fq.deliveries o
             WHERE o.client_id = :client AND o."offset" >= (SELECT lowest FROM fq.clients WHERE id = :client)
               AND o.key = d.key AND o."offset" <> d."offset"
               AND (o.state = 'sent' OR o."offset" < d."offset")))
     ORDER BY d."offset" LIMIT :room
       FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE fq.deliveries d
       SET attempt = d.attempt + 1, part = CASE WHEN d.state = 'sent' THEN d."offset" ELSE d.part END, state = 'sent',
           sent_at = now(), due_at = now() + make_interval(secs => :lease)
      FROM due
     WHERE d.client_id = :client AND d."offset" = due."offset"
       AND d."offset" >= (SELECT lowest FROM fq.clients WHERE id = :client)
    RETURNING d."offset", d.attempt, d.epoch, d.part
)
SELECT e."offset", t.attempt, t.epoch, e.topic,
       fq.body(e."offset", e.topic, e.key, e.payload, e.headers, e.created_at, :client, t.attempt, :call) AS body,
       e.headers ->> 'traceparent' AS traceparent, e.headers ->> 'tracestate' AS tracestate, t.part
  FROM taken t JOIN fq.events e ON e."offset" = t."offset"
 ORDER BY e."offset"
