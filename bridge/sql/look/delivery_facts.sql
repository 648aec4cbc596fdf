-- Show a client's oldest open delivery, and the one that is retried next.
--
-- Binds      client  text
-- Returns    "offset", epoch, attempt, state, key, age_seconds (since it was first handed over), sent_seconds (since it
--            was last handed over), due_seconds (until its lease or its wait ends), waited_seconds (since its message
--            may have waited in the queue for longer than the lease, or NULL), waits (whether it may still wait),
--            failed (whether its last attempt is known to have), error_type, error, oldest, next: whether it is the one
--            or the other
-- Relies on  nothing
WITH oldest AS (
    SELECT d."offset" FROM fq.open(:client) d ORDER BY d."offset" LIMIT 1
), next AS (
    SELECT d."offset" FROM fq.open(:client) d WHERE d.state = 'retrying' ORDER BY d.due_at LIMIT 1
)
SELECT d."offset", d.epoch, d.attempt, d.state, d.key,
       CAST(extract(epoch FROM clock_timestamp() - d.first_at) AS double precision) AS age_seconds,
       CAST(extract(epoch FROM clock_timestamp() - d.sent_at) AS double precision) AS sent_seconds,
       CAST(extract(epoch FROM d.due_at - clock_timestamp()) AS double precision) AS due_seconds,
       CAST(extract(epoch FROM clock_timestamp() - d.waited_at) AS double precision) AS waited_seconds,
       d.behind IS NOT NULL AS waits,
       coalesce(CAST(d.failures -> -1 ->> 'attempt' AS integer) = d.attempt, false) AS failed,
       d.error_type, d.error,
       d."offset" IN (SELECT "offset" FROM oldest) AS oldest, d."offset" IN (SELECT "offset" FROM next) AS next
  FROM fq.open(:client) d
 WHERE (d."offset" IN (SELECT "offset" FROM oldest) OR d."offset" IN (SELECT "offset" FROM next))
