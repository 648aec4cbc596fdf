-- Count the events of a range that are not finished: open, parked, and waiting in a lane, each in one place only.
--
-- Binds      client  text
--            first   bigint
--            last    bigint
--            counted_after  bigint, where the ledger begins
-- Returns    open, parked and waiting, of those which are in the log; matching: how many of these match; in_lanes and
--            in_lanes_sum: all that waits in a lane above `counted_after`, in any range
-- Relies on  a snapshot
WITH waiting AS MATERIALIZED (
    SELECT e."offset"
      FROM fq.lanes l JOIN fq.clients c ON c.id = l.client_id
     CROSS JOIN LATERAL (
           SELECT n."offset" FROM fq.events n
            WHERE n.key = l.key AND n."offset" >= l."offset" AND n."offset" <= c.dispatched
              AND '.' || n.topic ~ c.filter) e
     WHERE l.client_id = :client
), placed AS (
    SELECT "offset", min(place) AS place
      FROM (SELECT d."offset", 1 AS place FROM fq.deliveries d WHERE d.client_id = :client
             UNION ALL
            SELECT p."offset", 2 FROM fq.parked p WHERE p.client_id = :client
             UNION ALL
            SELECT w."offset", 3 FROM waiting w) every
     WHERE "offset" BETWEEN :first AND :last
     GROUP BY "offset"
), known AS (
    SELECT p.place, e."offset" <= c.dispatched AND '.' || e.topic ~ c.filter AS matching
      FROM placed p JOIN fq.events e ON e."offset" = p."offset" JOIN fq.clients c ON c.id = :client
)
SELECT count(*) FILTER (WHERE place = 1) AS open, count(*) FILTER (WHERE place = 2) AS parked,
       count(*) FILTER (WHERE place = 3) AS waiting, count(*) FILTER (WHERE matching) AS matching,
       (SELECT count(*) FROM waiting WHERE "offset" > :counted_after) AS in_lanes,
       (SELECT coalesce(sum("offset"), 0) FROM waiting WHERE "offset" > :counted_after) AS in_lanes_sum
  FROM known
