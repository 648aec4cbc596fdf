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
    DELETE FROM fq.deliveries d
     WHERE d.client_id = :client AND d."offset" >= (SELECT min(o."offset") FROM open o)
       AND d."offset" <= (SELECT max(o."offset") FROM open o)
       AND (d."offset" IN (SELECT o."offset" FROM open o)) IS TRUE  -- looked up: see decision 72
    RETURNING d."offset", d.key
), freed AS (
    UPDATE fq.lanes l SET ready = true WHERE l.client_id = :client AND (l.key IN (SELECT g.key FROM gone g)) IS TRUE
), owed AS (
    UPDATE fq.clients c SET owed = c.owed - t.number, owed_sum = c.owed_sum - t.total
      FROM (SELECT count(*) AS number, sum(g."offset") AS total FROM gone g) t
     WHERE c.id = :client AND t.number > 0
)
SELECT "offset" FROM gone ORDER BY "offset"
