-- List a client's deliveries whose last attempt was never answered, and lock them. A delivery that a handler has in its
-- transaction is left out, because that transaction may commit.
--
-- Binds      client        text
--            max_attempts  integer
-- Returns    client_id, "offset", epoch, attempt, tries (attempts since the last redrive) of each
-- Relies on  lock_client having run in this transaction
SELECT client_id, "offset", epoch, attempt, attempt - earlier_attempts AS tries FROM fq.deliveries
 WHERE client_id = :client AND "offset" >= (SELECT lowest FROM fq.clients WHERE id = :client)  -- as fq.open looks
   AND state = 'sent' AND due_at <= now() AND attempt - earlier_attempts >= :max_attempts
 ORDER BY "offset"
   FOR UPDATE SKIP LOCKED
