-- Hand over the next events of a client's oldest replay, beside its cursor: in order, no faster than its rate, and no
-- further than the first event that is open at the moment or whose key is not free. Parked events stay parked.
--
-- Binds      client         text
--            room           bigint, most events to hand over
--            slice          bigint, most events to look at
--            filter         text, regular expression over '.' || topic, the client's
--            ordered        boolean, whether events of one key wait for each other
--            call           text, event | payload | kwargs
--            lease_seconds  double precision, until an answer is due
-- Returns    fq.message of each, in order; a single row whose "offset" is NULL where none goes out; no row without a
--            replay. Each row has `within_seconds`, when there may be more: 0 at once, NULL never, 1 where an event
--            waits for another one
-- Relies on  lock_client having run in this transaction
WITH replay AS MATERIALIZED (
    SELECT * FROM fq.replay_of(:client)
), slice AS MATERIALIZED (
    SELECT e."offset", e.topic, e.key FROM fq.events e
     WHERE e."offset" >= (SELECT next FROM replay) AND e."offset" <= (SELECT upto FROM replay)
     ORDER BY e."offset" LIMIT :slice
), blocked AS MATERIALIZED (
    SELECT b.key FROM fq.busy_keys(:client) b UNION ALL SELECT l.key FROM fq.lanes l WHERE l.client_id = :client
), numbered AS MATERIALIZED (
    SELECT s."offset", s.key, row_number() OVER (ORDER BY s."offset") AS nth,
           s."offset" IN (SELECT d."offset" FROM fq.open(:client) d)
           OR :ordered AND s.key IS NOT NULL AND (s.key IN (SELECT key FROM blocked)
              OR row_number() OVER (PARTITION BY s.key ORDER BY s."offset") > 1) AS waits
      FROM slice s CROSS JOIN replay r
     WHERE '.' || s.topic ~ r.filter AND '.' || s.topic ~ :filter
       AND NOT EXISTS (SELECT FROM fq.parked p WHERE p.client_id = :client AND p."offset" = s."offset")
), seen AS MATERIALIZED (
    SELECT n.*, least(waits, beyond, (SELECT max("offset") + 1 FROM slice HAVING count(*) = :slice), r.upto + 1) AS next
      FROM replay r CROSS JOIN LATERAL (
           SELECT min("offset") FILTER (WHERE waits) AS waits,
                  min("offset") FILTER (WHERE nth > least(r.allowed, :room)) AS beyond FROM numbered) n
), taken AS (
    INSERT INTO fq.deliveries (client_id, "offset", epoch, key, due_at)
    SELECT :client, n."offset", r.epoch, n.key, now() + make_interval(secs => :lease_seconds)
      FROM numbered n, seen s, replay r WHERE n."offset" < s.next
    RETURNING "offset", epoch
), lowered AS (
    UPDATE fq.clients c SET lowest = t.lowest FROM (SELECT min("offset") AS lowest FROM taken) t
     WHERE c.id = :client AND t.lowest < c.lowest
), moved AS (
    UPDATE fq.replays p SET next = s.next, sent = p.sent + (SELECT count(*) FROM taken), started_at = r.counts_from
      FROM seen s, replay r WHERE p.id = r.id AND s.next <= r.upto
), ended AS (
    DELETE FROM fq.replays p USING seen s, replay r WHERE p.id = r.id AND s.next > r.upto
), rest AS (
    SELECT CASE WHEN s.next > r.upto AND (SELECT count(*) FROM fq.replays p WHERE p.client_id = :client) = 1 THEN NULL
                WHEN s.next > r.upto THEN 0
                WHEN s.next = s.waits THEN 1
                WHEN s.next = s.beyond AND r.allowed <= :room THEN
                     greatest(0, extract(epoch FROM r.counts_from - now())
                                 + (r.sent + (SELECT count(*) FROM taken)) / r.per_second)
                ELSE 0 END AS within_seconds
      FROM seen s, replay r
)
SELECT m.*
  FROM rest LEFT JOIN (taken t JOIN fq.events e ON e."offset" = t."offset") ON true
 CROSS JOIN LATERAL fq.message_of(e, :client, t.epoch, 1, :call, within_seconds => rest.within_seconds) m
 ORDER BY m."offset"
