-- Erase what attempts at erased events of a key have left of them: error messages and tracebacks, and why an event
-- could not become a message. A delivery that its handler has in its transaction is left alone.
--
-- Binds      client  text
--            key     text
--            after   bigint, the last offset that is not wanted
--            most    bigint, most rows of each kind to look at
-- Returns    last: the highest offset that was looked at, NULL if all are done; parked: how many parked events lost
--            their texts; open: how many deliveries did
-- Relies on  hold_client having run in this transaction, after the events were erased
WITH looked AS MATERIALIZED (
    SELECT p."offset" FROM fq.parked p
     WHERE p.client_id = :client AND p.key = :key AND p."offset" > :after ORDER BY p."offset" LIMIT :most
), parked AS (
    UPDATE fq.parked p SET error = fq.unless_erased(p."offset", p.error),
           traceback = fq.unless_erased(p."offset", p.traceback),
           failures = fq.failures_unless_erased(p."offset", p.failures),
           reason = fq.reason_unless_erased(p."offset", p.reason)
      FROM looked l
     WHERE p.client_id = :client AND p."offset" = l."offset"
       AND (fq.unless_erased(p."offset", p.error) <> p.error
            OR fq.unless_erased(p."offset", p.traceback) <> p.traceback
            OR fq.failures_unless_erased(p."offset", p.failures) <> p.failures
            OR fq.reason_unless_erased(p."offset", p.reason) <> p.reason)
    RETURNING p."offset"
), free AS MATERIALIZED (
    SELECT d."offset" FROM fq.deliveries d
     WHERE d.client_id = :client AND d."offset" >= (SELECT lowest FROM fq.clients WHERE id = :client) AND d.key = :key
       AND (fq.unless_erased(d."offset", d.error) <> d.error
            OR fq.unless_erased(d."offset", d.traceback) <> d.traceback
            OR fq.failures_unless_erased(d."offset", d.failures) <> d.failures)
       FOR UPDATE SKIP LOCKED
), open AS (
    UPDATE fq.deliveries d SET error = fq.unless_erased(d."offset", d.error),
           traceback = fq.unless_erased(d."offset", d.traceback),
           failures = fq.failures_unless_erased(d."offset", d.failures)
      FROM free f WHERE d.client_id = :client AND d."offset" = f."offset"
    RETURNING d."offset"
)
SELECT (SELECT max("offset") FROM looked) AS last, (SELECT count(*) FROM parked) AS parked,
       (SELECT count(*) FROM open) AS open
