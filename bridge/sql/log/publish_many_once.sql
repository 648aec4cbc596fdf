-- Append many events of which some have ids, in the order of the array, but for those whose id the log has already.
--
-- Binds      events  text, a JSON array of arrays: topic, payload, key or null, headers or null, id or null
-- Returns    "offset" of each, or of the first one with its id, in the order of the array
-- Relies on  the caller's transaction: the events are there when that commits; and on no search path (decision 30)
SELECT "offset" FROM fq.publish_many(CAST(:events AS pg_catalog.jsonb)) AS published ("offset")
