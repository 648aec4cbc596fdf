-- List the events that a client was handed and that stand in no table, above its cursor: each has finished before an
-- earlier one, or is lost.
--
-- Binds      client  text
--            most    bigint
-- Returns    "offset" of each, the lowest ones
-- Relies on  a snapshot
SELECT e."offset"
  FROM fq.clients c JOIN fq.events e ON e."offset" > c."offset" AND e."offset" <= c.dispatched
 WHERE c.id = :client AND '.' || e.topic ~ c.filter
   AND NOT EXISTS (SELECT FROM fq.deliveries d WHERE d.client_id = c.id AND d."offset" = e."offset")
   AND NOT EXISTS (SELECT FROM fq.parked p WHERE p.client_id = c.id AND p."offset" = e."offset")
   AND NOT EXISTS (SELECT FROM fq.lanes l
                    WHERE l.client_id = c.id AND l.key = e.key AND l."offset" <= e."offset")
 ORDER BY e."offset" LIMIT :most
