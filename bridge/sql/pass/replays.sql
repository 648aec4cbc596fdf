-- List a client's replays that this pass serves, the one that was served longest ago first.
--
-- Binds      client  text
--            most    bigint
-- Returns    id of each
-- Relies on  lock_client having run in this transaction
SELECT id FROM fq.replays WHERE client_id = :client ORDER BY served_at, id LIMIT :most
