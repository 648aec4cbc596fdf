-- Deliveries whose handler's transaction committed, but whose callback never came.
--
-- Binds      client  text
-- Returns    client_id, "offset", epoch, attempt of each
-- Relies on  lock_client having run in this transaction
SELECT client_id, "offset", epoch, attempt FROM fq.deliveries
 WHERE client_id = :client AND "offset" >= (SELECT lowest FROM fq.clients WHERE id = :client)
   AND state = 'done' AND due_at <= now()
