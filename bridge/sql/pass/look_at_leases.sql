-- List a client's deliveries whose lease has run out, and what was handed over to the same queue after each and is out.
-- A queue is first in, first out: while a message waits, all that was sent after it with its priority waits too. Passes
-- of other clients may overlap, so what these sent counts a minute later only. All moments are put in one order, and
-- summed up from the last one on: passes are not compared with each other.
--
-- Binds      client  text
-- Returns    "offset", epoch, attempt, waited_at and behind (of the last look), still (how many of those behind it then
--            are out now), later (how many are out now), messages (the fewest messages that these are)
-- Relies on  lock_client having run in this transaction
WITH lapsed AS MATERIALIZED (  -- by pass: all that a pass hands over has the same `sent_at`
    SELECT d.sent_at, d.waited_at, array_agg(d."offset") AS offsets, array_agg(d.epoch) AS epochs,
           array_agg(d.attempt) AS attempts, array_agg(d.behind) AS behinds
      FROM fq.open(:client) d WHERE d.state = 'sent' AND d.due_at <= now()
     GROUP BY d.sent_at, d.waited_at
), sent AS MATERIALIZED (
    SELECT c.id = :client AS own, o.sent_at, count(*) AS events, (count(*) + c.batch - 1) / c.batch AS messages
      FROM fq.clients c CROSS JOIN LATERAL (  -- OFFSET 0: else all clients' deliveries may be read, finished ones too
           SELECT o.sent_at FROM fq.open(c.id) o WHERE o.state = 'sent' OFFSET 0) o
     WHERE (c.queue, c.priority) = (SELECT q.queue, q.priority FROM fq.clients q WHERE q.id = :client)
     GROUP BY c.id, c.batch, o.sent_at
), asked AS (  -- `still` is all that is out behind it, without what was sent after `waited_at`
    SELECT l.sent_at, l.waited_at, p.*
      FROM lapsed l CROSS JOIN LATERAL (VALUES
           (true, l.sent_at, 1, 1, l.offsets, l.epochs, l.attempts, l.behinds),
           (true, greatest(l.waited_at, l.sent_at), 0, -1, NULL, NULL, NULL, NULL),
           (false, l.sent_at + interval '1 minute', 1, 1, NULL, NULL, NULL, NULL),
           (false, greatest(l.waited_at, l.sent_at + interval '1 minute'), 0, -1, NULL, NULL, NULL, NULL))
           AS p (own, at, later, still, offsets, epochs, attempts, behinds)
), summed AS (
    SELECT w.*, sum(w.events) OVER after AS events_after, sum(w.messages) OVER after AS messages_after
      FROM (SELECT a.*, true AS asks, 0 AS events, 0 AS messages FROM asked a
             UNION ALL
            SELECT NULL, NULL, s.own, s.sent_at, NULL, NULL, NULL, NULL, NULL, NULL, false, s.events, s.messages
              FROM sent s) w
    WINDOW after AS (PARTITION BY w.own ORDER BY w.at DESC, w.asks DESC)
), behind AS (
    SELECT s.waited_at, max(s.offsets) AS offsets, max(s.epochs) AS epochs, max(s.attempts) AS attempts,
           max(s.behinds) AS behinds, CAST(sum(s.still * s.events_after) AS bigint) AS still,
           CAST(sum(s.later * s.events_after) AS bigint) AS later,
           CAST(sum(s.later * s.messages_after) AS bigint) AS messages
      FROM summed s WHERE s.asks GROUP BY s.sent_at, s.waited_at
)
SELECT unnest(b.offsets) AS "offset", unnest(b.epochs) AS epoch, unnest(b.attempts) AS attempt, b.waited_at,
       unnest(b.behinds) AS behind, b.still, b.later, b.messages
  FROM behind b
 ORDER BY "offset"
