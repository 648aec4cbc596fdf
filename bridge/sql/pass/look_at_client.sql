-- What there is to do for a client, and how many deliveries it has open. A statement of its own, so that it sees what was there
-- when the lock was taken.
--
-- Binds      client  text
-- Returns    whether its window was full, whether it is woken, whether a finished key has a successor (ready), whether parked
--            events of it are to go out again (redriving), whether a replay is under way (replaying); how many deliveries are
--            open (opened), how many of them come from replays (replayed), of how many the wait or the lease is over (due)
-- Relies on  lock_client having run in this transaction
SELECT s."full", s.woken,
       EXISTS (SELECT FROM fq.lanes l WHERE l.client_id = s.id AND l.ready) AS ready,
       EXISTS (SELECT FROM fq.parked p WHERE p.client_id = s.id AND p.redrive) AS redriving,
       EXISTS (SELECT FROM fq.replays r WHERE r.client_id = s.id) AS replaying,
       d.opened, d.replayed, d.due
  FROM fq.served s JOIN fq.clients c ON c.id = s.id
 CROSS JOIN LATERAL (SELECT count(*) AS opened, count(*) FILTER (WHERE o.epoch > c.epoch) AS replayed,
                            count(*) FILTER (WHERE o.due_at <= now()) AS due
                       FROM fq.deliveries o WHERE o.client_id = s.id AND o."offset" >= c.lowest) d
 WHERE s.id = :client
