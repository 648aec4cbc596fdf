-- Show one event, and how far the log goes.
--
-- Binds      offset      bigint
--            characters  integer, most characters of the payload, and of the headers
-- Returns    one row: topic, key, payload_json, headers_json, created_at (NULL where it is not in the log), generation,
--            is_erased, horizon, drawn (the last offset that was drawn), pruned (up to which events may be gone)
-- Relies on  nothing
SELECT e.topic, e.key, left(CAST(e.payload AS text), CAST(:characters AS integer)) AS payload_json,
       left(CAST(e.headers AS text), CAST(:characters AS integer)) AS headers_json, e.created_at,
       fq.generation_of(:offset) AS generation, e."offset" IS NOT NULL AND fq.is_erased(e) AS is_erased,
       fq.read_horizon(0) AS horizon, fq.last_drawn() AS drawn, l.pruned
  FROM fq.log l LEFT JOIN fq.events e ON e."offset" = :offset
