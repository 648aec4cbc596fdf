-- Append one event.
--
-- Binds      topic    text
--            key      text
--            payload  text, JSON
--            headers  text, a JSON object
-- Returns    "offset"; as currval, because INSERT alone does not permit to read the column
-- Relies on  the caller's transaction: the event is there when that commits; and on no search path (decision 30)
INSERT INTO fq.events (topic, key, payload, headers)
VALUES (:topic, :key, CAST(:payload AS pg_catalog.jsonb), CAST(:headers AS pg_catalog.jsonb))
RETURNING pg_catalog.currval('fq.events_offset_seq') AS "offset"
