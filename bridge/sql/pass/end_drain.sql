-- Pause a client that was draining and has nothing open any more. The reason, and who gave it, stay as they are.
--
-- Binds      client  text
-- Returns    nothing
-- Relies on  lock_client having run in this transaction
WITH drained AS (
    UPDATE fq.clients SET state = 'paused', state_at = now() WHERE id = :client AND state = 'draining' RETURNING id
)
INSERT INTO fq.journal (by, client_id, action) SELECT 'bridge', id, 'drained' FROM drained
