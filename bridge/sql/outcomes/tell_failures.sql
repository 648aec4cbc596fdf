-- Fill in why attempts failed, where that was told after their outcomes were settled. It fills in texts only, and only
-- what is not known: what tells it may be forged. A delivery that a handler has in its transaction is left out.
--
-- Binds      clients      text[], each delivery once
--            offsets      bigint[]
--            epochs       integer[]
--            attempts     integer[]
--            error_types  text[]
--            errors       text[]
--            tracebacks   text[]
--            failures     text[], JSON: what is kept of each failed attempt
-- Returns    client_id, "offset" of those that were filled in
-- Relies on  the clients being locked in this transaction
WITH told AS MATERIALIZED (
    SELECT * FROM unnest(CAST(:clients AS text[]), CAST(:offsets AS bigint[]), CAST(:epochs AS integer[]),
                         CAST(:attempts AS integer[]), CAST(:error_types AS text[]), CAST(:errors AS text[]),
                         CAST(:tracebacks AS text[]), CAST(:failures AS text[]))
           AS t (client_id, "offset", epoch, attempt, error_type, error, traceback, failure)
), open AS MATERIALIZED (
    SELECT t.*, d.ctid AS place, fq.last_is_untold(d.failures, t.attempt) AS last
      FROM told t CROSS JOIN LATERAL (  -- as failing looks
           SELECT l.ctid, l.* FROM fq.deliveries l WHERE l.client_id = t.client_id AND l."offset" = t."offset" OFFSET 0
              FOR UPDATE SKIP LOCKED) d
     WHERE d.epoch = t.epoch AND fq.failure_is_untold(d.failures, t.attempt)
), told_open AS (
    UPDATE fq.deliveries d
       SET failures = fq.failures_filled(d."offset", d.failures, o.attempt, CAST(o.failure AS jsonb)),
           error_type = CASE WHEN o.last THEN o.error_type ELSE d.error_type END,
           error = CASE WHEN o.last THEN fq.unless_erased(d."offset", o.error) ELSE d.error END,
           traceback = CASE WHEN o.last THEN fq.unless_erased(d."offset", o.traceback) ELSE d.traceback END
      FROM open o WHERE d.ctid = o.place
    RETURNING d.client_id, d."offset"
), told_parked AS (
    UPDATE fq.parked p
       SET failures = fq.failures_filled(p."offset", p.failures, t.attempt, CAST(t.failure AS jsonb)),
           error_type = CASE WHEN fq.last_is_untold(p.failures, t.attempt) THEN t.error_type ELSE p.error_type END,
           error = CASE WHEN fq.last_is_untold(p.failures, t.attempt) THEN fq.unless_erased(p."offset", t.error)
                        ELSE p.error END,
           traceback = CASE WHEN fq.last_is_untold(p.failures, t.attempt)
                            THEN fq.unless_erased(p."offset", t.traceback) ELSE p.traceback END
      FROM told t
     WHERE p.client_id = t.client_id AND p."offset" = t."offset" AND p.epoch = t.epoch
       AND fq.failure_is_untold(p.failures, t.attempt)
    RETURNING p.client_id, p."offset"
)
SELECT client_id, "offset" FROM told_open UNION ALL SELECT client_id, "offset" FROM told_parked
