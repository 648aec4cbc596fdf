-- Pause, resume or halt a client.
--
-- Binds      client  text
--            state   text, active | paused | halted
--            reason  text
--            by      text, who said so
-- Returns    id; no row if there is no such client
-- Relies on  nothing
UPDATE fq.clients
   SET state = :state, state_reason = :reason, state_by = :by, state_at = now(), wake_at = 'epoch', "full" = false
 WHERE id = :client AND task IS NOT NULL
RETURNING id
