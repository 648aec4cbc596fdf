-- Let failed deliveries wait for their next attempt.
--
-- Binds      clients      text[]
--            offsets      bigint[]
--            wait_seconds double precision[], how long each waits
--            anew         boolean[], whether the attempts of each are counted anew from here on
--            error_types  text[]
--            errors       text[]
--            tracebacks   text[]
--            failures     text[], JSON: what is kept of each failed attempt
--            among        text[], the same clients once each
--            first        bigint, the lowest of the offsets
--            last         bigint, the highest
-- Returns    client_id, "offset", key, epoch, attempt of each
-- Relies on  failing or expired having locked them in this transaction
UPDATE fq.deliveries d
   SET state = 'retrying', due_at = now() + make_interval(secs => r.wait_seconds),
       earlier_attempts = CASE WHEN r.anew THEN d.attempt ELSE d.earlier_attempts END,
       error_type = r.error_type, error = fq.unless_erased(d."offset", r.error),
       traceback = fq.unless_erased(d."offset", r.traceback),
       failures = fq.with_failure(d."offset", d.failures, d.attempt, CAST(r.failure AS jsonb))
  FROM unnest(CAST(:clients AS text[]), CAST(:offsets AS bigint[]), CAST(:wait_seconds AS double precision[]),
              CAST(:anew AS boolean[]), CAST(:error_types AS text[]), CAST(:errors AS text[]),
              CAST(:tracebacks AS text[]), CAST(:failures AS text[]))
       AS r (client_id, "offset", wait_seconds, anew, error_type, error, traceback, failure)
 WHERE d.client_id = r.client_id AND d."offset" = r."offset"
   AND d.client_id = ANY (CAST(:among AS text[])) AND d."offset" BETWEEN :first AND :last  -- decision 14
   AND d.state = 'sent'
RETURNING d.client_id, d."offset", d.key, d.epoch, d.attempt
