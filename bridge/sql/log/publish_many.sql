-- Append many events, in the order of the array.
--
-- Binds      events  text, a JSON array of arrays: topic, payload, key or null, headers or null
-- Returns    "offset" of each
-- Relies on  the caller's transaction: the events are there when that commits
INSERT INTO fq.events (topic, payload, key, headers)
SELECT event ->> 0, event -> 1, event ->> 2, coalesce(nullif(event -> 3, 'null'), '{}')
  FROM jsonb_array_elements(CAST(:events AS jsonb)) WITH ORDINALITY AS e (event, nth)
 ORDER BY nth
RETURNING "offset"
