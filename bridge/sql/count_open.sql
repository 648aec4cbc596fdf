-- How many deliveries a client has open.
--
-- Binds      client  text
--            epoch   integer, the client's
-- Returns    opened, how many of them come from replays (replayed), of how many the wait or the lease is over (due)
-- Relies on  lock_client having run in this transaction
SELECT count(*) AS opened, count(*) FILTER (WHERE epoch > :epoch) AS replayed, count(*) FILTER (WHERE due_at <= now()) AS due
  FROM fq.deliveries
 WHERE client_id = :client
