-- Read final events after an offset, in order.
--
-- Binds      after       bigint
--            horizon     bigint
--            topics      text, regular expression over '.' || topic
--            also        text, another one that must match too
--            most        bigint
--            characters  integer, most characters of each payload, and of each event's headers
-- Returns    "offset", topic, key, payload and headers as JSON text, created_at
-- Relies on  read_horizon having given the horizon in an earlier statement: this one then sees all that is final
SELECT "offset", topic, key, left(CAST(payload AS text), CAST(:characters AS integer)) AS payload_json,
       left(CAST(headers AS text), CAST(:characters AS integer)) AS headers_json, created_at
  FROM fq.events
 WHERE "offset" > :after AND "offset" <= :horizon AND '.' || topic ~ :topics AND '.' || topic ~ :also
 ORDER BY "offset" LIMIT :most
