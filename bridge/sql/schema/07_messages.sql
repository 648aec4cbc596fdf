-- Return an event as JSON text, in the shape that a client's task is called with. Postgres makes the text, and nothing
-- parses it on its way. It is put together by hand, because json_build_object looks up every type anew.
CREATE FUNCTION fq.body(e fq.events, client text, attempt integer, call text) RETURNS text LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN call = 'event' THEN
        '{"offset": ' || e."offset" || ', "topic": ' || to_json(e.topic)
        || ', "key": ' || coalesce(CAST(to_json(e.key) AS text), 'null')
        || ', "payload": ' || e.payload || ', "headers": ' || e.headers
        || ', "created_at": "' || to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
        || '", "client": ' || to_json(client) || ', "attempt": ' || attempt || '}'
    ELSE CAST(e.payload AS text) END;
END;

-- The row that every hand-over returns: what a message is made of. `upto` is how far the log was looked through, and
-- `within_seconds` when there may be more of a replay; both are the same in every row, and NULL where they mean
-- nothing.
CREATE TYPE fq.message AS (
    "offset"       bigint,
    epoch          integer,
    attempt        integer,
    topic          text,
    body           text,
    traceparent    text,
    tracestate     text,
    part           bigint,
    upto           bigint,
    within_seconds double precision
);

-- Return the message of one event. A function in FROM: the planner puts the body in place of the call.
CREATE FUNCTION fq.message_of(e fq.events, client text, epoch integer, attempt integer, call text,
                              part bigint DEFAULT NULL, upto bigint DEFAULT NULL,
                              within_seconds double precision DEFAULT NULL)
RETURNS SETOF fq.message LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT e."offset", epoch, attempt, e.topic, fq.body(e, client, attempt, call),
           e.headers ->> 'traceparent', e.headers ->> 'tracestate', part, upto, within_seconds;
END;
