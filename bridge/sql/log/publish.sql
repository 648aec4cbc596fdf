-- Append one event.
--
-- Binds      topic    text
--            key      text
--            payload  text, JSON
--            headers  text, a JSON object
-- Returns    "offset"
-- Relies on  the caller's transaction: the event is there when that commits
INSERT INTO fq.events (topic, key, payload, headers)
VALUES (:topic, :key, CAST(:payload AS jsonb), CAST(:headers AS jsonb))
RETURNING "offset"
