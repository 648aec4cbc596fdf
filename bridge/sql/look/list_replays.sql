-- List a client's replays, the one that is under way first.
--
-- Binds      client  text
-- Returns    id, epoch, next, upto, per_second, sent
-- Relies on  nothing
SELECT id, epoch, next, upto, per_second, sent FROM fq.replays WHERE client_id = :client ORDER BY id
