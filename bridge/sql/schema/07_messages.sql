-- An event as JSON text, in the shape that a client's task is called with. Postgres makes the text, nobody parses it.
CREATE FUNCTION fq.body("offset" bigint, topic text, key text, payload jsonb, headers jsonb, created_at timestamptz,
                        client text, attempt integer, call text)
RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN call = 'event' THEN  -- put together by hand: json_build_object looks up every type anew
        '{"offset": ' || "offset" || ', "topic": ' || to_json(topic) || ', "key": ' || coalesce(CAST(to_json(key) AS text), 'null')
        || ', "payload": ' || payload || ', "headers": ' || headers
        || ', "created_at": "' || to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
        || '", "client": ' || to_json(client) || ', "attempt": ' || attempt || '}'
    ELSE CAST(payload AS text) END
$$;
