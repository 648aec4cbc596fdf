-- Give open deliveries up for good. What their attempts report later is about no delivery any more. One that its
-- handler has committed, or has in its transaction right now, stays.
--
-- Binds      client   text
--            offsets  bigint[]
-- Returns    "offset" of each
-- Relies on  hold_client having run in this transaction; move_cursors follows
WITH open AS MATERIALIZED (
    SELECT d."offset" FROM fq.deliveries d
     WHERE d.client_id = :client AND d."offset" = ANY (CAST(:offsets AS bigint[])) AND d.state <> 'done'
     ORDER BY d."offset"
       FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM fq.deliveries d USING open o WHERE d.client_id = :client AND d."offset" = o."offset"
    RETURNING d."offset", d.key
), freed AS (
    UPDATE fq.lanes l SET ready = true FROM gone g WHERE l.client_id = :client AND l.key = g.key
), owed AS (
    UPDATE fq.clients c SET owed = c.owed - t.number, owed_sum = c.owed_sum - t.total
      FROM (SELECT count(*) AS number, sum(g."offset") AS total FROM gone g) t
     WHERE c.id = :client AND t.number > 0
)
SELECT "offset" FROM gone ORDER BY "offset"
