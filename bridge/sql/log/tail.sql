-- Read final events after an offset, in order.
--
-- Binds      after    bigint
--            horizon  bigint
--            topics   text, regular expression over '.' || topic
--            most     bigint
-- Returns    "offset", topic, key, payload, headers, created_at
-- Relies on  read_horizon having given the horizon in an earlier statement: this one then sees all that is final
SELECT "offset", topic, key, payload, headers, created_at FROM fq.events
 WHERE "offset" > :after AND "offset" <= :horizon AND '.' || topic ~ :topics
 ORDER BY "offset" LIMIT :most
