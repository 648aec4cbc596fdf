-- Return an event as a CloudEvent, in structured mode as JSON text. What bridge.transaction needs goes along as
-- extension attributes; a number of theirs has 32 bits, so the offset is text. Of an event that came in as a
-- CloudEvent, `originid` and `originsource` are its id and source of before.
CREATE FUNCTION fq.cloudevent(e fq.events, client text, attempt integer, epoch integer, generation integer)
RETURNS text LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT '{"specversion": "1.0", "id": "' || generation || '-' || e."offset" || '", "source": "' || fq.source()
        || '", "type": ' || to_json(e.topic) || CASE WHEN e.key <> '' THEN ', "subject": ' || to_json(e.key) ELSE '' END
        || ', "time": "' || to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '", "datacontenttype": "application/json", "data": ' || e.payload
        || (SELECT coalesce(string_agg(', "' || h.attribute || '": ' || (e.headers #> h.path), '' ORDER BY h.attribute),
                            '')
              FROM (VALUES ('originid', CAST('{cloudevent,id}' AS text[])), ('originsource', '{cloudevent,source}'),
                           ('traceparent', '{traceparent}'), ('tracestate', '{tracestate}')) AS h (attribute, path)
             WHERE jsonb_typeof(e.headers #> h.path) = 'string' AND e.headers #>> h.path <> '')
        || ', "client": ' || to_json(client) || ', "offset": "' || e."offset" || '", "generation": ' || generation
        || ', "attempt": ' || attempt || ', "epoch": ' || epoch || '}';
END;

-- Return an event as JSON text, but for its end, which is the same for all events of one client, attempt and epoch: the
-- pump adds it to each (bridge/store/handover.py). Postgres makes the text, and nothing parses it on its way. It is put
-- together by hand, because json_build_object looks up every type anew. `generation` is the event's: it is used only
-- once here, or the planner would not put this body in place of a call. Headers of 8 bytes are `{}`, which most events
-- have.
CREATE FUNCTION fq.event_head(e fq.events, generation text) RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT '{"offset": ' || e."offset" || ', "generation": ' || generation
        || ', "topic": ' || to_json(e.topic)
        || ', "key": ' || coalesce(CAST(to_json(e.key) AS text), 'null')
        || ', "payload": ' || e.payload
        || ', "headers": ' || CASE WHEN pg_column_size(e.headers) > 8 THEN CAST(e.headers AS text) ELSE '{}' END
        || ', "created_at": "' || to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') || '"';
END;

-- Return the whole text of an event, in the shape that a client's task is called with. `starts` is fq.log.starts:
-- whoever calls this reads it once, and not once an event. It is used only once here, too.
CREATE FUNCTION fq.body(e fq.events, client text, attempt integer, call text, epoch integer, starts bigint[])
RETURNS text LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN call = 'event' THEN
        fq.event_head(e, CAST(width_bucket(e."offset", starts) AS text))
        || ', "client": ' || to_json(client) || ', "attempt": ' || attempt || ', "epoch": ' || epoch || '}'
    WHEN call = 'cloudevent' THEN fq.cloudevent(e, client, attempt, epoch, fq.generation_of(e."offset"))
    ELSE CAST(e.payload AS text) END;
END;

-- Return the names of trace headers that are neither W3C's nor Sentry's: those of bridge/settings/headers.py.
CREATE FUNCTION fq.trace_names() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE BEGIN ATOMIC
    SELECT CAST('{b3,x-b3-traceid,x-b3-spanid,x-b3-parentspanid,x-b3-sampled,x-b3-flags,x-datadog-trace-id,'
                'x-datadog-parent-id,x-datadog-sampling-priority,x-datadog-origin,x-datadog-tags,ot-tracer-traceid,'
                'ot-tracer-spanid,ot-tracer-sampled,uber-trace-id,X-Amzn-Trace-Id,x-cloud-trace-context}' AS text[]);
END;

-- Return these headers of an event, as far as they are texts of at most 512 characters; NULL where there are none.
CREATE FUNCTION fq.other_trace(headers jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE BEGIN ATOMIC
    SELECT jsonb_object_agg(h.key, h.value) FROM jsonb_each(headers) h
     WHERE h.key = ANY (fq.trace_names()) AND jsonb_typeof(h.value) = 'string' AND length(h.value #>> '{}') <= 512;
END;

-- The row that every hand-over returns: what a message is made of. `trace` has the trace headers of W3C and Sentry, in
-- the order of bridge/tracing/context.py; most events have none, and every column takes time. `upto` is how far the log
-- was looked through, and `within_seconds` when there may be more of a replay; both are the same in every row, and NULL
-- where they mean nothing.
CREATE TYPE fq.message AS (
    "offset"       bigint,
    epoch          integer,
    attempt        integer,
    topic          text,
    key            text,
    body           text,
    trace          text[],
    other_trace    jsonb,
    part           bigint,
    upto           bigint,
    within_seconds double precision
);

-- Return the message of one event. A function in FROM: the planner puts the body in place of the call. Where the task
-- is called with an event, `body` lacks its end: see fq.event_head. A body of more than 8 kB does not come along, and
-- the column is empty: the pump fetches it with fq.bodies. OFFSET 0 keeps the planner from making the text twice. Most
-- events are of the newest generation, which is looked up once for all.
CREATE FUNCTION fq.message_of(e fq.events, client text, epoch integer, attempt integer, call text,
                              part bigint DEFAULT NULL, upto bigint DEFAULT NULL,
                              within_seconds double precision DEFAULT NULL)
RETURNS SETOF fq.message LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT e."offset", epoch, attempt, e.topic, e.key,
           CASE WHEN octet_length(b.body) <= 8192 THEN b.body ELSE '' END,
           CASE WHEN pg_column_size(e.headers) > 8 AND e.headers ?| '{traceparent,baggage,sentry-trace}'
                THEN ARRAY[e.headers ->> 'traceparent', e.headers ->> 'tracestate', e.headers ->> 'baggage',
                           e.headers ->> 'sentry-trace'] END,
           CASE WHEN pg_column_size(e.headers) > 8 AND e.headers ?| fq.trace_names() THEN fq.other_trace(e.headers) END,
           part, upto, within_seconds
      FROM (SELECT CASE WHEN pg_column_size(e.payload) <= 8192
                        THEN CASE WHEN call = 'event'
                                  THEN fq.event_head(e, CASE
                                       WHEN e."offset" >= (SELECT l.starts[cardinality(l.starts)] FROM fq.log l)
                                       THEN (SELECT CAST(cardinality(l.starts) AS text) FROM fq.log l)
                                       ELSE CAST(width_bucket(e."offset", (SELECT l.starts FROM fq.log l)) AS text) END)
                                  ELSE fq.body(e, client, attempt, call, epoch, '{}') END END AS body
            OFFSET 0) b;
END;

-- Return the bodies of events that did not come along with their slice, in this order, until they are so many bytes
-- together: at least one. Of an event that has no text, or one of more than `most` bytes, `fault` says why it can't be
-- sent. A number of a few bytes may have a hundred thousand digits, so only the text itself tells how long it is.
CREATE FUNCTION fq.bodies(client text, offsets bigint[], attempts integer[], call text, bytes bigint, most bigint,
                          epochs integer[])
RETURNS TABLE ("offset" bigint, body text, fault text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    nth    integer := 0;
    rest   bigint := bytes;
    starts bigint[] := (SELECT l.starts FROM fq.log l);
BEGIN
    WHILE rest > 0 AND nth < cardinality(offsets) LOOP
        nth := nth + 1;
        "offset" := offsets[nth];
        body := NULL;
        fault := 'it is not in the log any more';
        BEGIN
            SELECT fq.body(e, client, attempts[nth], call, epochs[nth], starts), NULL INTO body, fault
              FROM fq.events e WHERE e."offset" = offsets[nth];
            IF octet_length(body) > most THEN
                fault := format('it has %s bytes: at most %s are sent', octet_length(body), most);
                body := NULL;
            END IF;
        EXCEPTION WHEN program_limit_exceeded OR out_of_memory OR internal_error THEN
            fault := 'Postgres can''t write it as text: ' || SQLERRM;
        END;
        rest := rest - coalesce(octet_length(body), 0);
        RETURN NEXT;
    END LOOP;
END $$;
