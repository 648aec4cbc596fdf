-- Hand over again now what is open, because its message is lost. This counts no attempt. What has a handler's
-- transaction behind it needs no message: the next pass finishes it. A delivery that a handler has in its transaction
-- right now is left out, and so is one that waits for its next attempt anyway.
--
-- Binds      client      text
--            keys        text[], or NULL
--            offsets     bigint[], or NULL
--            sent_until  timestamptz, leave out what was handed over later; NULL for none
-- Returns    "offset", epoch, attempt, state (`retrying`, or `done` for one that the next pass finishes) of each
-- Relies on  the client being locked in this transaction
WITH lost AS MATERIALIZED (
    SELECT d."offset" FROM fq.deliveries d
     WHERE d.client_id = :client
       AND d."offset" >= (SELECT lowest FROM fq.clients WHERE id = :client)  -- as fq.open looks
       AND d.state <> 'retrying'
       AND (CAST(:keys AS text[]) IS NULL OR d.key = ANY (CAST(:keys AS text[])))
       AND (CAST(:offsets AS bigint[]) IS NULL OR d."offset" = ANY (CAST(:offsets AS bigint[])))
       AND d.sent_at <= coalesce(CAST(:sent_until AS timestamptz), 'infinity')
     ORDER BY d."offset"
       FOR UPDATE SKIP LOCKED
), recalled AS (
    UPDATE fq.deliveries d
       SET state = CASE d.state WHEN 'sent' THEN 'retrying' ELSE d.state END,
           earlier_attempts = d.earlier_attempts + CASE d.state WHEN 'sent' THEN 1 ELSE 0 END,
           due_at = now(), waited_at = NULL, behind = NULL
     WHERE d.client_id = :client AND d."offset" >= (SELECT min(l."offset") FROM lost l)
       AND d."offset" <= (SELECT max(l."offset") FROM lost l)
       AND (d."offset" IN (SELECT l."offset" FROM lost l)) IS TRUE  -- looked up: see decision 72
    RETURNING d."offset", d.epoch, d.attempt, d.state
), woken AS (
    UPDATE fq.clients c
       SET wake_at = fq.at_once(), recalled = c.recalled + (SELECT count(*) FROM recalled WHERE state = 'retrying')
     WHERE c.id = :client AND EXISTS (SELECT FROM recalled)
)
SELECT "offset", epoch, attempt, state FROM recalled ORDER BY "offset"
