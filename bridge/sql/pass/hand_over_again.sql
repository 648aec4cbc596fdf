-- Hand over again what is due: retries, and deliveries whose lease ran out. Each is a new attempt. A delivery whose
-- handler is inside `bridge.transaction` is locked, which keeps its lease alive. Of one key only the oldest goes out,
-- and of all deliveries where the order is strict: more than one are open after a change of `ordering`. A delivery that
-- was never answered is resent alone, in case it crashed its batch's worker.
--
-- Binds      client         text
--            room           bigint, most deliveries to take
--            ordered        boolean, whether events of one key wait for each other
--            strict         boolean, whether all events do
--            call           text, event | payload | kwargs
--            lease_seconds  double precision, until an answer is due
-- Returns    fq.message of each, in order
-- Relies on  lock_client, renew_leases and expired having run in this transaction
WITH oldest AS MATERIALIZED (  -- of each key, or of all, and whether another one of it is out
    SELECT min(o."offset") AS "offset", bool_or(o.state = 'sent' AND o.due_at > now()) AS out
      FROM fq.open(:client) o WHERE :strict OR :ordered AND o.key IS NOT NULL
     GROUP BY CASE WHEN NOT :strict THEN o.key END
), due AS MATERIALIZED (
    SELECT d."offset" FROM fq.deliveries d
     WHERE d.client_id = :client
       AND d."offset" >= (SELECT lowest FROM fq.clients WHERE id = :client)  -- as fq.open looks
       AND d.due_at <= now() AND d.state <> 'done'
       AND (NOT (:strict OR :ordered AND d.key IS NOT NULL)
            OR d."offset" IN (SELECT o."offset" FROM oldest o WHERE NOT o.out))
     ORDER BY d."offset" LIMIT :room
       FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE fq.deliveries d
       SET attempt = d.attempt + 1, part = CASE WHEN d.state = 'sent' THEN d."offset" ELSE d.part END, state = 'sent',
           sent_at = now(), due_at = now() + make_interval(secs => :lease_seconds), waited_at = NULL, behind = NULL
     WHERE d.client_id = :client AND d."offset" >= (SELECT min(u."offset") FROM due u)
       AND d."offset" <= (SELECT max(u."offset") FROM due u)
       AND (d."offset" IN (SELECT u."offset" FROM due u)) IS TRUE  -- looked up: see decision 72
    RETURNING d."offset", d.attempt, d.epoch, d.part
)
SELECT m.*
  FROM taken t JOIN fq.events e ON e."offset" = t."offset"
 CROSS JOIN LATERAL fq.message_of(e, :client, t.epoch, t.attempt, :call, t.part) m
 ORDER BY m."offset"
