-- Append many events, in the order of the arrays.
--
-- Binds      topics    text, a JSON array of strings
--            keys      text, a JSON array of strings and nulls
--            payloads  text, a JSON array
--            headers   text, a JSON array of objects
-- Returns    "offset" of each, ascending
-- Relies on  the caller's transaction: the events are there when that commits
WITH published AS (
    INSERT INTO fq.events (topic, key, payload, headers)
    SELECT topic, key, payload, headers
      FROM ROWS FROM (jsonb_array_elements_text(CAST(:topics AS jsonb)), jsonb_array_elements_text(CAST(:keys AS jsonb)),
                      jsonb_array_elements(CAST(:payloads AS jsonb)), jsonb_array_elements(CAST(:headers AS jsonb)))
           WITH ORDINALITY AS e (topic, key, payload, headers, nth)
     ORDER BY nth
    RETURNING "offset"
)
SELECT "offset" FROM published ORDER BY "offset"
