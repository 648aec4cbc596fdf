-- Read final events of some topics after an offset, in order, by the index of topics.
--
-- Binds      after       bigint
--            horizon     bigint
--            names       text[], the topics
--            most        bigint
--            characters  integer, most characters of each payload, and of each event's headers
-- Returns    "offset", topic, key, payload and headers as JSON text, created_at
-- Relies on  read_horizon having given the horizon in an earlier statement: this one then sees all that is final
SELECT e."offset", e.topic, e.key, left(CAST(e.payload AS text), CAST(:characters AS integer)) AS payload_json,
       left(CAST(e.headers AS text), CAST(:characters AS integer)) AS headers_json, e.created_at
  FROM (SELECT i."offset" FROM unnest(CAST(:names AS text[])) AS n (name) CROSS JOIN LATERAL (
               -- Compare rows, to force the (topic, offset) index; otherwise Postgres scans the log for a rare topic.
               SELECT o."offset" FROM fq.events o
                WHERE (o.topic, o."offset") > (n.name, CAST(:after AS bigint))
                  AND (o.topic, o."offset") <= (n.name, CAST(:horizon AS bigint))
                ORDER BY o.topic, o."offset" LIMIT :most) i
         ORDER BY i."offset" LIMIT :most) found
  JOIN fq.events e ON e."offset" = found."offset"
 ORDER BY e."offset"
