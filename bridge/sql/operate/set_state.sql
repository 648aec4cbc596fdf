-- Pause, drain, resume or halt a client, and write it into the journal.
--
-- Binds      client  text
--            state   text, active | draining | paused | halted
--            reason  text
--            by      text, who wants it
-- Returns    id; no row if there is no such client
-- Relies on  nothing
WITH changed AS (
    UPDATE fq.clients
       SET state = CAST(:state AS text), state_reason = :reason, state_by = :by, state_at = now(),
           wake_at = fq.at_once(), "full" = false,
           released_at = CASE WHEN CAST(:state AS text) = 'halted' THEN released_at END
     WHERE id = :client AND task IS NOT NULL
    RETURNING id
), noted AS (
    INSERT INTO fq.journal (by, client_id, action, details)
    SELECT :by, id,
           CASE CAST(:state AS text) WHEN 'active' THEN 'resume' WHEN 'draining' THEN 'drain' WHEN 'halted' THEN 'halt'
           ELSE 'pause' END,
           json_build_object('reason', CAST(:reason AS text))
      FROM changed
)
SELECT id FROM changed
