-- List a client's replays, the oldest first.
--
-- Binds      client  text
-- Returns    id, epoch, next, upto, per_second, sent, aside (events and keys that wait for what is open)
-- Relies on  nothing
SELECT r.id, r.epoch, r.next, r.upto, r.per_second, r.sent,
       (SELECT count(*) FROM fq.aside a WHERE a.client_id = :client AND a.replay_id = r.id) AS aside
  FROM fq.replays r WHERE r.client_id = :client ORDER BY r.id
