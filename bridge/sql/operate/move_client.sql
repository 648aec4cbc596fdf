-- Move a client's cursor to any place, and begin a new epoch. What is in flight is forgotten. What was parked above the
-- new place will be handed over again. A redriven event at or below it is parked once more, in the epoch that it went
-- out in.
--
-- Binds      client  text
--            target  bigint, the new cursor
-- Returns    epoch, forgotten: how many deliveries, unparked: how many parked events, ended: how many replays
-- Relies on  hold_client having run in this transaction
WITH client AS MATERIALIZED (
    SELECT c.id, c."offset", fq.verdict(c) AS verdict FROM fq.clients c WHERE c.id = :client
), forgotten AS (
    DELETE FROM fq.deliveries d USING client c WHERE d.client_id = c.id
    RETURNING d.*
), laneless AS (
    DELETE FROM fq.lanes l USING client c WHERE l.client_id = c.id
), unparked AS (
    DELETE FROM fq.parked p USING client c WHERE p.client_id = c.id AND p."offset" > :target
    RETURNING p."offset"
), ended AS (
    DELETE FROM fq.replays r USING client c WHERE r.client_id = c.id
    RETURNING r.id
), aside AS (
    DELETE FROM fq.aside a USING client c WHERE a.client_id = c.id
), parked AS (
    INSERT INTO fq.parked (client_id, "offset", epoch, key, attempt, attempts, error_type, error, traceback, reason,
                           held, first_at, failures)
    SELECT f.client_id, f."offset", f.epoch, f.key, f.attempt, f.attempt, f.error_type, f.error, f.traceback,
           'redriven, and the client was moved meanwhile', f.key IS NOT NULL AND c.verdict = 'hold-key', f.first_at,
           f.failures
      FROM forgotten f CROSS JOIN client c
     WHERE f."offset" <= least(c."offset", :target) AND f.state <> 'done'
       AND f.earlier_attempts > 0 AND f.part IS NOT NULL  -- a recalled event of a replay has no part
), moved AS (
    UPDATE fq.clients c
       SET "offset" = :target, dispatched = :target, epoch = c.last_epoch + 1, last_epoch = c.last_epoch + 1,
           wake_at = fq.at_once(), "full" = false, updated_at = now()
     WHERE c.id = :client
    RETURNING c.epoch
)
SELECT (SELECT epoch FROM moved) AS epoch, (SELECT count(*) FROM forgotten) AS forgotten,
       (SELECT count(*) FROM unparked) AS unparked, (SELECT count(*) FROM ended) AS ended
