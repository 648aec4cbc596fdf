-- Append many events, in the order of the arrays.
--
-- Binds      topics    text[]
--            keys      text[]
--            payloads  text[], JSON
--            headers   text[], JSON objects
-- Returns    "offset" of each, ascending
-- Relies on  the caller's transaction: the events are there when that commits
WITH published AS (
    INSERT INTO fq.events (topic, key, payload, headers)
    SELECT topic, key, CAST(payload AS jsonb), CAST(headers AS jsonb)
      FROM unnest(CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:payloads AS text[]), CAST(:headers AS text[]))
           WITH ORDINALITY AS e (topic, key, payload, headers, nth)
     ORDER BY nth
    RETURNING "offset"
)
SELECT "offset" FROM published ORDER BY "offset"
