-- Set deliveries aside as dead letters. They are finished; the next events of their keys may go out, unless a key is
-- held.
--
-- Binds      clients      text[]
--            offsets      bigint[]
--            reasons      text[]
--            error_types  text[]
--            errors       text[]
--            tracebacks   text[]
--            failures     text[], JSON: what is kept of each failed attempt
--            held         boolean[], whether the key waits for redrive or discard
--            among        text[], the same clients once each
--            first        bigint, the lowest of the offsets
--            last         bigint, the highest
-- Returns    client_id, "offset", key, epoch, attempt, reason, error_type, error (its beginning), held
--            of each
-- Relies on  the clients being locked in this transaction
WITH doomed AS (
    SELECT * FROM unnest(CAST(:clients AS text[]), CAST(:offsets AS bigint[]), CAST(:reasons AS text[]),
                         CAST(:error_types AS text[]), CAST(:errors AS text[]), CAST(:tracebacks AS text[]),
                         CAST(:failures AS text[]), CAST(:held AS boolean[]))
           AS d (client_id, "offset", reason, error_type, error, traceback, failure, held)
), gone AS (
    DELETE FROM fq.deliveries d USING doomed p
     WHERE d.client_id = p.client_id AND d."offset" = p."offset"
       AND d.client_id = ANY (CAST(:among AS text[])) AND d."offset" BETWEEN :first AND :last  -- decision 14
       AND d.state = 'sent'
    RETURNING d.client_id, d."offset", d.key, d.epoch, d.attempt, d.first_at, p.reason,
              coalesce(p.error_type, d.error_type) AS error_type,
              fq.unless_erased(d."offset", coalesce(p.error, d.error)) AS error,
              fq.unless_erased(d."offset", coalesce(p.traceback, d.traceback)) AS traceback,
              fq.with_failure(d."offset", d.failures, d.attempt, CAST(p.failure AS jsonb)) AS failures,
              p.held AND d.key IS NOT NULL AS held
), freed AS (
    UPDATE fq.lanes l SET ready = true FROM gone g
     WHERE l.client_id = g.client_id AND l.key = g.key AND NOT g.held
)
INSERT INTO fq.parked (client_id, "offset", epoch, key, attempt, attempts, error_type, error, traceback, reason, held,
                       first_at, failures)
SELECT client_id, "offset", epoch, key, attempt, attempt, error_type, error, traceback, reason, held, first_at,
       failures
  FROM gone
    ON CONFLICT (client_id, "offset") DO UPDATE
   SET epoch = EXCLUDED.epoch, attempt = EXCLUDED.attempt, attempts = EXCLUDED.attempts, reason = EXCLUDED.reason,
       error_type = EXCLUDED.error_type, error = EXCLUDED.error, traceback = EXCLUDED.traceback, held = EXCLUDED.held,
       failures = EXCLUDED.failures, parked_at = now()
RETURNING client_id, "offset", key, epoch, attempt, reason, error_type, left(error, 500) AS error, held
