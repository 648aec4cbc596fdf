-- Hand over events of replays that waited aside and need not wait any more, one of a key at a time, in the order of the
-- log, no faster than each replay's rate. A lane goes on with the next event of its key. Parked events stay parked.
--
-- Binds      client         text
--            room           bigint, most events to hand over
--            filter         text, regular expression over '.' || topic, the client's
--            ordered        boolean, whether events of one key wait for each other
--            call           text, event | payload | kwargs
--            lease_seconds  double precision, until an answer is due
-- Returns    fq.message of each, in order
-- Relies on  lock_client having run in this transaction
WITH free AS (
    SELECT DISTINCT ON (a.key, a.alone) a.replay_id, a."offset", a.key, a.lane
      FROM (SELECT w.*, CASE WHEN NOT w.lane AND (w.key IS NULL OR NOT :ordered) THEN w."offset" END AS alone
              FROM fq.aside w WHERE w.client_id = :client) a
     WHERE a."offset" NOT IN (SELECT d."offset" FROM fq.open(:client) d)
       AND a.replay_id IN (SELECT r.id FROM fq.replays_of(:client) r WHERE r.allowed >= 1)  -- else it holds others up
       AND (a.key IS NULL OR NOT :ordered OR a.key NOT IN (SELECT t.key FROM fq.taken_keys(:client) t))
     ORDER BY a.key, a.alone, a.replay_id, a."offset"
), chosen AS MATERIALIZED (
    SELECT n.*, r.epoch, r.next AS before, r.filter FROM fq.replays_of(:client) r JOIN (
           SELECT f.*, row_number() OVER (PARTITION BY f.replay_id ORDER BY f."offset") AS nth FROM free f) n
        ON n.replay_id = r.id AND n.nth <= r.allowed
     ORDER BY n."offset" LIMIT :room
), found AS MATERIALIZED (
    SELECT c.replay_id, c."offset", c.key, c.lane, c.epoch, two.next, two.later,
           two.next IN (SELECT d."offset" FROM fq.open(:client) d)
           OR row_number() OVER (PARTITION BY two.next ORDER BY c.replay_id, c.lane) > 1 AS waits
      FROM chosen c
      LEFT JOIN LATERAL fq.next_aside(:client, c.key, c.lane, c."offset", c.before, c.filter, :filter) two ON true
), heads AS MATERIALIZED (  -- without an order a lane may come to an event that is open, or that goes out by itself
    SELECT f.replay_id, f."offset", f.key, f.lane, f.epoch, CASE WHEN NOT f.waits THEN f.next END AS next,
           CASE WHEN f.waits THEN f.next ELSE f.later END AS later FROM found f
), gone AS (
    DELETE FROM fq.aside a
     WHERE a.client_id = :client  -- looked up: see decision 72
       AND ((a.replay_id, a."offset", a.lane) IN (SELECT h.replay_id, h."offset", h.lane FROM heads h)) IS TRUE
), going_on AS (
    INSERT INTO fq.aside (client_id, replay_id, "offset", key, lane)
    SELECT :client, h.replay_id, h.later, h.key, h.lane FROM heads h WHERE h.later IS NOT NULL
), taken AS (
    INSERT INTO fq.deliveries (client_id, "offset", epoch, key, due_at)
    SELECT :client, h.next, h.epoch, h.key, now() + make_interval(secs => :lease_seconds)
      FROM heads h WHERE h.next IS NOT NULL
    RETURNING "offset", epoch
)
SELECT m.*
  FROM taken t JOIN fq.events e ON e."offset" = t."offset"
 CROSS JOIN LATERAL fq.message_of(e, :client, t.epoch, 1, :call) m
 ORDER BY m."offset"
