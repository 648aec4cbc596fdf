-- Schedule an event: it is appended to the log when it is due.
--
-- Binds      names    text, a JSON array in ASCII: topic, key or null, id or null
--            payload  text, JSON
--            headers  text, a JSON object
--            seconds  text, a number: how long after now, by the server's clock; NULL where `at` is given
--            at       text, a moment in ISO 8601; NULL where `seconds` is given
-- Returns    number, and due_us: when it is due, in microseconds since 1970, because drivers read no date where the
--            session has another DateStyle; where the log has an event of this id already, its "offset" instead
-- Relies on  the caller's transaction: the event is scheduled when that commits; and on no search path (decision 30)
SELECT number,
       CAST(EXTRACT(epoch FROM due_at) OPERATOR(pg_catalog.*) 1000000 AS pg_catalog.int8) AS due_us,
       "offset"
  FROM fq.schedule(topic => CAST(:names AS pg_catalog.jsonb) OPERATOR(pg_catalog.->>) 0,
                   payload => CAST(:payload AS pg_catalog.jsonb),
                   key => CAST(:names AS pg_catalog.jsonb) OPERATOR(pg_catalog.->>) 1,
                   headers => CAST(:headers AS pg_catalog.jsonb),
                   id => CAST(:names AS pg_catalog.jsonb) OPERATOR(pg_catalog.->>) 2,
                   deliver_at => coalesce(CAST(CAST(:at AS pg_catalog.text) AS pg_catalog.timestamptz),
                       pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) pg_catalog.make_interval(
                           secs => CAST(CAST(:seconds AS pg_catalog.text) AS pg_catalog.float8))))
