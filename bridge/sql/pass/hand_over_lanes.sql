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
             FROM (SELECT "offset" FROM fq.events  -- rows are compared to force the index of keys, as leap does
                    WHERE key IS NOT NULL AND (key, "offset") >= (r.key, r."offset")
                      AND (key, "offset") <= (r.key, CAST(:dispatched AS bigint)) AND '.' || topic ~ :filter
                    ORDER BY key, "offset" LIMIT 2) e) two
     WHERE NOT r.busy
), waiting AS (  -- no join, for which the planner would go by how large it believes the lists to be: see decision 72
    UPDATE fq.lanes l SET ready = false
     WHERE l.client_id = :client AND l.ready AND (l.key IN (SELECT r.key FROM ready r WHERE r.busy)) IS TRUE
), going_on AS (  -- each is there, and is found by its key
    INSERT INTO fq.lanes AS l (client_id, key, "offset")
    SELECT :client, h.key, h.later FROM heads h WHERE h.later IS NOT NULL
        ON CONFLICT (client_id, key) DO UPDATE SET "offset" = EXCLUDED."offset", ready = false
), ended AS (
    DELETE FROM fq.lanes l
     WHERE l.client_id = :client AND l.ready
       AND (l.key IN (SELECT h.key FROM heads h WHERE h.later IS NULL)) IS TRUE
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
