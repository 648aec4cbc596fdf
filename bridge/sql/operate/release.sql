-- Let a client stop holding the log: it is halted, its replays end, and the journal says so. Its cursor stays.
--
-- Binds      client  text
--            reason  text
--            by      text, who wants it
-- Returns    nothing
-- Relies on  hold_client having run in this transaction
WITH ended AS (
    DELETE FROM fq.replays WHERE client_id = :client
), aside AS (
    DELETE FROM fq.aside WHERE client_id = :client
), noted AS (
    INSERT INTO fq.journal (by, client_id, action, details)
    VALUES (:by, :client, 'release', json_build_object('reason', CAST(:reason AS text)))
)
UPDATE fq.clients
   SET released_at = coalesce(released_at, now()), state_by = :by, state_at = now(), state_reason = :reason,
       state = CASE WHEN task IS NULL THEN state ELSE 'halted' END
 WHERE id = :client
