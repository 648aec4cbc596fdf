-- Show the keys that wait longest, and the event that each waits for.
--
-- Binds      client  text
--            most    bigint, most keys
-- Returns    key, "offset" (its next event), blocker (offset of the delivery or parked event in its way, NULL if it is
--            free), epoch, attempt, parked (whether the blocker is held for a redrive or discard), reason, redrive
-- Relies on  nothing
SELECT l.key, l."offset", b."offset" AS blocker, b.epoch, b.attempt, b.parked, b.reason, b.redrive
  FROM (SELECT w.key, w."offset" FROM fq.lanes w WHERE w.client_id = :client
         UNION ALL
        SELECT p.key, NULL FROM fq.parked p
         WHERE p.client_id = :client AND p.held
           AND NOT EXISTS (SELECT FROM fq.lanes w WHERE w.client_id = :client AND w.key = p.key)
         ORDER BY 2, 1 LIMIT :most) l
  LEFT JOIN LATERAL (
       SELECT d."offset", d.epoch, d.attempt, false AS parked, NULL AS reason, false AS redrive
         FROM fq.open(:client) d WHERE d.key = l.key
        UNION ALL
       SELECT p."offset", p.epoch, p.attempt, true, p.reason, p.redrive
         FROM fq.parked p WHERE p.client_id = :client AND p.key = l.key AND p.held
        ORDER BY 1 LIMIT 1) b ON true
