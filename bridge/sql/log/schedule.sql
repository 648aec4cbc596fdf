-- Schedule an event: it is appended to the log when it is due.
--
-- Binds      topic    text
--            key      text
--            payload  text, JSON
--            headers  text, a JSON object
--            id       text, or NULL
--            seconds  text, a number: how long after now, by the server's clock; NULL where `at` is given
--            at       text, a moment in ISO 8601; NULL where `seconds` is given
-- Returns    number, due_at; where the log has an event of this id already, its "offset" instead
-- Relies on  the caller's transaction: the event is scheduled when that commits; and on no search path (decision 30)
SELECT number, due_at, "offset"
  FROM fq.schedule(topic => :topic, payload => CAST(:payload AS pg_catalog.jsonb), key => :key,
                   headers => CAST(:headers AS pg_catalog.jsonb), id => :id,
                   deliver_at => coalesce(CAST(CAST(:at AS pg_catalog.text) AS pg_catalog.timestamptz),
                       pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) pg_catalog.make_interval(
                           secs => CAST(CAST(:seconds AS pg_catalog.text) AS pg_catalog.float8))))
