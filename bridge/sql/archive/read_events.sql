-- Read events as an archive keeps them, in the order of the log.
--
-- Binds      offsets  bigint[]
-- Returns    "offset", generation, topic, key, payload and headers as JSON text, created_at
-- Relies on  nothing
SELECT e."offset", fq.generation_of(e."offset") AS generation, e.topic, e.key, CAST(e.payload AS text) AS payload_json,
       CAST(e.headers AS text) AS headers_json, e.created_at
  FROM fq.events e WHERE e."offset" = ANY (CAST(:offsets AS bigint[])) ORDER BY e."offset"
