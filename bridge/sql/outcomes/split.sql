-- Let each part of a batch that failed go out by itself, at once. It is not known yet which event failed, so the
-- attempt does not count.
--
-- Binds      clients   text[]
--            offsets   bigint[]
--            parts     bigint[], the first offset of the part that each is in
--            failures  text[], JSON: what is kept of each failed attempt
--            among     text[], the same clients once each
--            first     bigint, the lowest of the offsets
--            last      bigint, the highest
-- Returns    nothing
-- Relies on  failing having locked them in this transaction
UPDATE fq.deliveries d
   SET state = 'retrying', due_at = now(), part = p.part, earlier_attempts = d.attempt,
       failures = fq.with_failure(d."offset", d.failures, d.attempt, CAST(p.failure AS jsonb))
  FROM unnest(CAST(:clients AS text[]), CAST(:offsets AS bigint[]), CAST(:parts AS bigint[]),
              CAST(:failures AS text[]))
       AS p (client_id, "offset", part, failure)
 WHERE d.client_id = p.client_id AND d."offset" = p."offset"
   AND d.client_id = ANY (CAST(:among AS text[])) AND d."offset" BETWEEN :first AND :last  -- decision 14
   AND d.state = 'sent'
