-- How many deliveries a client has open.
--
-- Binds      client  text
-- Returns    the number
-- Relies on  lock_client having run in this transaction
SELECT count(*) FROM fq.deliveries WHERE client_id = :client
