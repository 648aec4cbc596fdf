-- Append many events, in the order of the array.
--
-- Binds      events  text, a JSON array of arrays: topic, payload, key or null, headers or null where there are any
-- Returns    "offset" of each; as currval, because INSERT alone does not permit to read the column
-- Relies on  the caller's transaction: the events are there when that commits; and on no search path (decision 30)
INSERT INTO fq.events (topic, payload, key, headers)
SELECT event OPERATOR(pg_catalog.->>) 0, event OPERATOR(pg_catalog.->) 1, event OPERATOR(pg_catalog.->>) 2,
       CASE WHEN pg_catalog.jsonb_typeof(event OPERATOR(pg_catalog.->) 3) OPERATOR(pg_catalog.<>) 'null'
            THEN event OPERATOR(pg_catalog.->) 3 ELSE '{}' END
  FROM pg_catalog.jsonb_array_elements(CAST(:events AS pg_catalog.jsonb)) WITH ORDINALITY AS e (event, nth)
 ORDER BY nth
RETURNING pg_catalog.currval('fq.events_offset_seq') AS "offset"
