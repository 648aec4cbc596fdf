-- Final events after an offset, in order.
--
-- Binds      after    bigint
--            topics   text, regular expression over '.' || topic
--            most     bigint
-- Returns    "offset", topic, key, payload, headers, created_at
-- Relies on  nothing
SELECT "offset", topic, key, payload, headers, created_at FROM fq.events
 WHERE "offset" > :after AND "offset" <= fq.read_horizon(0) AND '.' || topic ~ :topics
 ORDER BY "offset" LIMIT :most
