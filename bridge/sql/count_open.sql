-- How many deliveries a client has open.
--
-- Binds      client  text
--            epoch   integer, the client's
-- Returns    opened, and how many of them come from replays (replayed)
-- Relies on  lock_client having run in this transaction
SELECT count(*) AS opened, count(*) FILTER (WHERE epoch > :epoch) AS replayed FROM fq.deliveries WHERE client_id = :client
