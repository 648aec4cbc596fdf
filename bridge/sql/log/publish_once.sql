-- Append one event that has an id, unless the log has one of this id already.
--
-- Binds      topic    text
--            key      text
--            payload  text, JSON
--            headers  text, a JSON object
--            id       text
-- Returns    "offset" of the event, or of the first one with this id
-- Relies on  the caller's transaction: the event is there when that commits; and on no search path (decision 30)
SELECT fq.publish(topic => :topic, payload => CAST(:payload AS pg_catalog.jsonb), key => :key,
                  headers => CAST(:headers AS pg_catalog.jsonb), id => :id) AS "offset"
