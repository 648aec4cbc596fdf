-- Hand over again what is due: retries, and deliveries whose lease ran out. Each is a new attempt.
--
-- Binds      client  text
--            room    bigint, most deliveries to take
--            call    text, event | payload | kwargs
--            lease   double precision, seconds until an answer is due
-- Returns    "offset", attempt, topic, body, traceparent, tracestate of each, in order
-- Relies on  lock_client and park_unanswered having run in this transaction
WITH due AS (
    SELECT d."offset" FROM fq.deliveries d
     WHERE d.client_id = :client AND d.due_at <= now()
     ORDER BY d."offset" LIMIT :room
), taken AS (
    UPDATE fq.deliveries d
       SET attempt = d.attempt + 1, state = 'sent', sent_at = now(), due_at = now() + make_interval(secs => :lease)
      FROM due
     WHERE d.client_id = :client AND d."offset" = due."offset"
    RETURNING d."offset", d.attempt
)
SELECT e."offset", t.attempt, e.topic,
       fq.body(e."offset", e.topic, e.key, e.payload, e.headers, e.created_at, :client, t.attempt, :call) AS body,
       e.headers ->> 'traceparent' AS traceparent, e.headers ->> 'tracestate' AS tracestate
  FROM taken t JOIN fq.events e ON e."offset" = t."offset"
 ORDER BY e."offset"
