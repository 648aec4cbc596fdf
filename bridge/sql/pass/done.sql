-- List the deliveries whose handler's transaction committed, but whose callback never came.
--
-- Binds      client  text
-- Returns    client_id, "offset", epoch, attempt of each
-- Relies on  lock_client having run in this transaction
SELECT client_id, "offset", epoch, attempt FROM fq.open(:client) WHERE state = 'done' AND due_at <= now()
