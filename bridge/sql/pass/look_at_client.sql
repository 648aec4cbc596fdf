-- Tell what there is to do for a client, and what it may have open. This is a statement of its own, so that it sees all
-- that was there when the lock was taken.
--
-- Binds      client  text
-- Returns    woken; whether the window is still full (until refill_at deliveries are open); whether a finished key has
--            a successor (ready), parked events are to go out again (redriving), a replay is under way (replaying); how
--            many deliveries may be open (window), how many are (opened), how many of these come from replays
--            (replayed), of how many the wait or the lease is over (due), of how many the lease (lapsed); verdict on an
--            event without attempts left; tokens of its rate, how many come in a second, and how many are enough to
--            wake it (NULL without a rate)
-- Relies on  lock_client having run in this transaction
SELECT s.woken, s."full", fq.refill_at(c) AS refill_at,
       EXISTS (SELECT FROM fq.lanes l WHERE l.client_id = s.id AND l.ready) AS ready,
       EXISTS (SELECT FROM fq.parked p WHERE p.client_id = s.id AND p.redrive) AS redriving,
       EXISTS (SELECT FROM fq.replays r WHERE r.client_id = s.id) AS replaying,
       fq.window_of(c) AS "window", d.opened, d.replayed, d.due, d.lapsed, fq.verdict(c) AS verdict,
       CASE WHEN c.rate <> '' THEN fq.tokens_of(c, now()) END AS tokens,
       CASE WHEN c.rate <> '' THEN fq.rate_of(c) END AS tokens_per_second,
       CASE WHEN c.rate <> '' THEN fq.enough_tokens(c) END AS tokens_enough
  FROM fq.served s JOIN fq.clients c ON c.id = s.id
 CROSS JOIN LATERAL (SELECT count(*) AS opened, count(*) FILTER (WHERE o.epoch > c.epoch) AS replayed,
                            count(*) FILTER (WHERE o.due_at <= now()) AS due,
                            count(*) FILTER (WHERE o.due_at <= now() AND o.state = 'sent') AS lapsed
                       FROM fq.open(s.id) o) d
 WHERE s.id = :client
