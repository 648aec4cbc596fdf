-- Hand over the next events of a replay, beside its client's cursor: in order, and no faster than its rate. Events that
-- are open at the moment, or whose key is not free, are set aside, and go out later.
--
-- Binds      client         text
--            replay         bigint
--            room           bigint, most events to hand over
--            slice          bigint, most events to look at
--            most_aside     bigint, most events that may wait aside; beyond them the replay waits
--            filter         text, regular expression over '.' || topic, the client's
--            ordered        boolean, whether events of one key wait for each other
--            call           text, event | payload | kwargs
--            lease_seconds  double precision, until an answer is due
-- Returns    fq.message of each, in order; a single row whose "offset" is NULL where none goes out. Each row has
--            `within_seconds`, when there may be more: 0 at once, NULL never, 1 where events wait for others
-- Relies on  lock_client having run in this transaction
WITH replay AS MATERIALIZED (
    SELECT r.*, (SELECT count(*) FROM fq.aside a WHERE a.client_id = :client AND a.replay_id = r.id) AS aside,
           (SELECT max(l."offset") + 1 FROM (
               SELECT e."offset" FROM fq.events e WHERE e."offset" >= r.next AND e."offset" <= r.upto
                ORDER BY e."offset" LIMIT :slice) l HAVING count(*) = :slice) AS behind
      FROM fq.replays_of(:client) r WHERE r.id = :replay
), slice AS MATERIALIZED (
    SELECT s.*, count(*) FILTER (WHERE s.waits) OVER (ORDER BY s."offset") AS nth_aside,
           count(*) FILTER (WHERE NOT s.waits) OVER (ORDER BY s."offset") AS nth
      FROM fq.replay_slice(:client, :replay, :slice, :filter, :ordered) s
), seen AS MATERIALIZED (
    SELECT r.*, n.beyond, n.crowded, least(n.beyond, n.crowded, r.behind, r.upto + 1) AS onward
      FROM replay r CROSS JOIN LATERAL (
           SELECT min(s."offset") FILTER (WHERE s.nth > least(r.allowed, :room)) AS beyond,
                  min(s."offset") FILTER (WHERE s.nth_aside + r.aside > :most_aside) AS crowded FROM slice s) n
), taken AS (
    INSERT INTO fq.deliveries (client_id, "offset", epoch, key, due_at)
    SELECT :client, s."offset", n.epoch, s.key, now() + make_interval(secs => :lease_seconds)
      FROM slice s, seen n WHERE NOT s.waits AND s."offset" < n.onward
    RETURNING "offset", epoch
), waiting AS (
    INSERT INTO fq.aside (client_id, replay_id, "offset", key, lane)
    SELECT :client, n.id, min(s."offset"), s.key, s.lane
      FROM slice s, seen n
     WHERE s.waits AND s."offset" < n.onward AND NOT s.covered
     GROUP BY n.id, s.key, s.lane, CASE WHEN NOT s.lane THEN s."offset" END
), moved AS (
    UPDATE fq.replays p SET next = n.onward FROM seen n WHERE p.id = n.id
), rest AS (
    SELECT CASE WHEN n.onward > n.upto OR n.onward = n.crowded THEN 1
                WHEN n.onward = n.beyond AND n.allowed <= :room THEN greatest(0,
                    extract(epoch FROM n.counts_from - now()) + (n.sent + (SELECT count(*) FROM taken)) / n.per_second)
                ELSE 0 END AS within_seconds
      FROM seen n
)
SELECT m.*
  FROM rest LEFT JOIN (taken t JOIN fq.events e ON e."offset" = t."offset") ON true
 CROSS JOIN LATERAL fq.message_of(e, :client, t.epoch, 1, :call, within_seconds => rest.within_seconds) m
 ORDER BY m."offset"
