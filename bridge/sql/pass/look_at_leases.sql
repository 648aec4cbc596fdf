-- List a client's deliveries whose lease has run out, and what was handed over to the same queue after each and is out.
-- A queue is first in, first out: while a message waits, all that was sent after it with its priority waits too. Passes
-- of other clients may overlap, so what these sent counts a minute later only.
--
-- Binds      client  text
-- Returns    "offset", epoch, attempt, waited_at and behind (of the last look), still (how many of those behind it then
--            are out now), later (how many are out now), messages (the fewest messages that these are)
-- Relies on  lock_client having run in this transaction
WITH lapsed AS MATERIALIZED (
    SELECT d."offset", d.epoch, d.attempt, d.sent_at, d.waited_at, d.behind
      FROM fq.open(:client) d WHERE d.state = 'sent' AND d.due_at <= now()
), sent AS MATERIALIZED (  -- by pass: all that a pass hands over has the same `sent_at`
    SELECT o.sent_at + CASE WHEN c.id = :client THEN interval '0' ELSE interval '-1 minute' END AS after, o.sent_at,
           count(*) AS events, (count(*) + c.batch - 1) / c.batch AS messages
      FROM fq.clients c CROSS JOIN LATERAL fq.open(c.id) o
     WHERE (c.queue, c.priority) = (SELECT q.queue, q.priority FROM fq.clients q WHERE q.id = :client)
       AND o.state = 'sent'
     GROUP BY c.id, c.batch, o.sent_at
), behind AS MATERIALIZED (
    SELECT l.sent_at, l.waited_at, coalesce(sum(s.events) FILTER (WHERE s.sent_at <= l.waited_at), 0) AS still,
           coalesce(sum(s.events), 0) AS later, coalesce(sum(s.messages), 0) AS messages
      FROM (SELECT DISTINCT sent_at, waited_at FROM lapsed) l LEFT JOIN sent s ON s.after > l.sent_at
     GROUP BY l.sent_at, l.waited_at
)
SELECT l."offset", l.epoch, l.attempt, l.waited_at, l.behind, CAST(b.still AS bigint) AS still,
       CAST(b.later AS bigint) AS later, CAST(b.messages AS bigint) AS messages
  FROM lapsed l JOIN behind b ON b.sent_at = l.sent_at AND b.waited_at IS NOT DISTINCT FROM l.waited_at
 ORDER BY l."offset"
