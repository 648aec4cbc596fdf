-- Hand over the next event of every key whose predecessor is finished, and remember where its lane goes on. A key that
-- a redriven or replayed event keeps busy, or that is held, waits for that event: its end makes the lane ready again.
--
-- Binds      client         text
--            dispatched     bigint, how far the log was handed over
--            room           bigint, most events to hand over
--            filter         text, regular expression over '.' || topic
--            epoch          integer, the client's
--            call           text, event | payload | kwargs
--            lease_seconds  double precision, until an answer is due
-- Returns    fq.message of each, in order
-- Relies on  lock_client having run in this transaction
WITH ready AS MATERIALIZED (
    SELECT l.key, l."offset", l.key IN (SELECT b.key FROM fq.busy_keys(:client) b) AS busy
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
    SELECT :client, h.next, :epoch, h.key, now() + make_interval(secs => :lease_seconds)
      FROM heads h WHERE h.next IS NOT NULL
    RETURNING "offset", epoch
)
SELECT m.*
  FROM taken t JOIN fq.events e ON e."offset" = t."offset"
 CROSS JOIN LATERAL fq.message_of(e, :client, t.epoch, 1, :call) m
 ORDER BY m."offset"
