-- Show an event, and what has become of it at one client.
--
-- Binds      client      text
--            offset      bigint
--            characters  integer, most characters of the payload, and of the headers
-- Returns    topic, payload_json, headers_json, created_at (all NULL where it is not in the log), key, state: parked |
--            redriven | open | waiting | ahead | unwanted | finished, epoch, attempts, error_type, error, traceback,
--            reason, held, redrive, first_at, parked_at, failures; NULL where it is neither parked nor open
-- Relies on  nothing
SELECT e.topic, left(CAST(e.payload AS text), CAST(:characters AS integer)) AS payload_json,
       left(CAST(e.headers AS text), CAST(:characters AS integer)) AS headers_json, e.created_at,
       coalesce(e.key, p.key, d.key) AS key,
       CASE WHEN p."offset" IS NOT NULL AND p.redrive THEN 'redriven'
            WHEN p."offset" IS NOT NULL THEN 'parked'
            WHEN d."offset" IS NOT NULL THEN 'open'
            WHEN '.' || e.topic !~ c.filter THEN 'unwanted'
            WHEN o."offset" > c.dispatched THEN 'ahead'
            WHEN EXISTS (SELECT FROM fq.lanes l WHERE l.client_id = c.id AND l.key = e.key
                            AND l."offset" <= o."offset") THEN 'waiting'
            ELSE 'finished' END AS state,
       coalesce(p.epoch, d.epoch) AS epoch, coalesce(p.attempts, d.attempt) AS attempts,
       coalesce(p.error_type, d.error_type) AS error_type, coalesce(p.error, d.error) AS error,
       coalesce(p.traceback, d.traceback) AS traceback, p.reason, coalesce(p.held, false) AS held,
       coalesce(p.redrive, false) AS redrive, coalesce(p.first_at, d.first_at) AS first_at, p.parked_at,
       coalesce(p.failures, d.failures) AS failures
  FROM fq.clients c CROSS JOIN (SELECT CAST(:offset AS bigint) AS "offset") o
  LEFT JOIN fq.events e ON e."offset" = o."offset"
  LEFT JOIN fq.parked p ON p.client_id = c.id AND p."offset" = o."offset"
  LEFT JOIN fq.deliveries d ON d.client_id = c.id AND d."offset" = o."offset"
 WHERE c.id = :client AND (e."offset" IS NOT NULL OR p."offset" IS NOT NULL OR d."offset" IS NOT NULL)
