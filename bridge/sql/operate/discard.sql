-- Give parked events up for good. A key that was held for one of them goes on, unless another parked event holds it
-- too.
--
-- Binds      client       text
--            keys         text[], or NULL
--            error_types  text[], or NULL
--            offsets      bigint[], or NULL
--            older        double precision, or NULL: only those parked for more than so many seconds
-- Returns    "offset" of each
-- Relies on  hold_client having run in this transaction
WITH gone AS (
    DELETE FROM fq.parked p
     WHERE p.client_id = :client
       AND (CAST(:keys AS text[]) IS NULL OR p.key = ANY (CAST(:keys AS text[])))
       AND (CAST(:error_types AS text[]) IS NULL OR p.error_type = ANY (CAST(:error_types AS text[])))
       AND (CAST(:offsets AS bigint[]) IS NULL OR p."offset" = ANY (CAST(:offsets AS bigint[])))
       AND (CAST(:older AS double precision) IS NULL OR p.parked_at < now() - make_interval(secs => :older))
    RETURNING p."offset", p.key, p.held
), freed AS (
    UPDATE fq.lanes l SET ready = true
     WHERE l.client_id = :client AND l.key IN (SELECT g.key FROM gone g WHERE g.held)
       AND NOT EXISTS (SELECT FROM fq.parked p WHERE p.client_id = :client AND p.key = l.key AND p.held
                          AND p."offset" NOT IN (SELECT g."offset" FROM gone g))
), woken AS (
    UPDATE fq.clients c SET wake_at = fq.at_once(), owed = c.owed - t.number, owed_sum = c.owed_sum - t.total
      FROM (SELECT count(*) AS number, sum(g."offset") AS total FROM gone g) t
     WHERE c.id = :client AND t.number > 0
)
SELECT "offset" FROM gone ORDER BY "offset"
