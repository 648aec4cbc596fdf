-- The scheduled events: they are appended to the log when they are due, and not before. So an event has its offset when
-- it is due, and nothing waits for it until then: neither the horizon, nor a cursor, nor the later events of its key.
-- The bounds are those of fq.events. The clock is this server's.
CREATE TABLE fq.scheduled (
    number     bigint GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME fq.scheduled_number_seq)
               CONSTRAINT scheduled_pkey PRIMARY KEY,
    due_at     timestamptz NOT NULL
               CONSTRAINT scheduled_due_at CHECK (due_at >= '1000-01-01 UTC' AND due_at < '9999-01-01 UTC'),
    topic      text COLLATE "C" NOT NULL
               CONSTRAINT scheduled_topic CHECK (topic ~ '^[^.*#[:space:]]+(\.[^.*#[:space:]]+)*$')
               CONSTRAINT scheduled_topic_length CHECK (length(topic) <= 255),
    key        text COLLATE "C" CONSTRAINT scheduled_key_length CHECK (length(key) <= 512),
    payload    jsonb NOT NULL DEFAULT '{}',
    headers    jsonb NOT NULL DEFAULT '{}' CONSTRAINT scheduled_headers CHECK (jsonb_typeof(headers) = 'object')
               CONSTRAINT scheduled_headers_length CHECK (octet_length(CAST(headers AS text)) <= 65536),
    id         text COLLATE "C",
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX scheduled_due ON fq.scheduled (due_at, number);
CREATE INDEX scheduled_key ON fq.scheduled (key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX scheduled_id ON fq.scheduled (id) WHERE id IS NOT NULL;

-- Who has this row appends what is due: one pump at a time, so that what is due first gets the lower offset.
INSERT INTO fq.turns (name, holder, expires_at) VALUES ('scheduled', '', 'epoch');

-- Schedule an event, and return its number and when it is due. Of one id only one event is scheduled, or stored: for
-- the same id again this returns the first one, or the offset of that where it is in the log already.
CREATE FUNCTION fq.schedule(topic text, payload jsonb, deliver_at timestamptz, key text DEFAULT NULL,
                            headers jsonb DEFAULT '{}', id text DEFAULT NULL,
                            OUT number bigint, OUT due_at timestamptz, OUT "offset" bigint)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    known text;
BEGIN
    FOR attempt IN 1..3 LOOP  -- the first one may be appended, or cancelled, between two statements
        SELECT i."offset", i.topic INTO schedule."offset", known FROM fq.event_ids i WHERE i.id = schedule.id;
        IF NOT FOUND THEN
            INSERT INTO fq.scheduled AS s (due_at, topic, payload, key, headers, id)
                 VALUES (schedule.deliver_at, schedule.topic, schedule.payload, schedule.key,
                         coalesce(schedule.headers, '{}'), schedule.id)
            ON CONFLICT (id) WHERE id IS NOT NULL DO NOTHING
            RETURNING s.number, s.due_at, s.topic INTO schedule.number, schedule.due_at, known;
        END IF;
        IF NOT FOUND THEN
            SELECT s.number, s.due_at, s.topic INTO schedule.number, schedule.due_at, known
              FROM fq.scheduled s WHERE s.id = schedule.id;
        END IF;
        IF FOUND THEN
            PERFORM fq.refuse_id(schedule.id, schedule.topic, known);
            RETURN;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'event "%" is removed and scheduled again and again', left(schedule.id, 100)
        USING ERRCODE = 'serialization_failure', HINT = 'try again';
END $$;

-- Append the scheduled events that are due, the one that was due first before the others, and return how many are done.
-- One whose id is in the log already is that event, and is dropped. One whose id another transaction publishes at this
-- moment is left for later, and so is one that this could not take: nothing waits for it.
CREATE FUNCTION fq.append_due(most integer) RETURNS integer LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    due    bigint[];
    one    bigint;
    done   integer := 0;
    failed integer := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM fq.scheduled s WHERE s.due_at <= clock_timestamp()) THEN
        RETURN 0;
    END IF;
    PERFORM FROM fq.turns t WHERE t.bridge = 'bridge' AND t.name = 'scheduled' FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    due := ARRAY(SELECT s.number FROM fq.scheduled s WHERE s.due_at <= clock_timestamp()
                  ORDER BY s.due_at, s.number LIMIT most);
    BEGIN
        PERFORM fq.append_scheduled(due);
        RETURN cardinality(due);
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
        NULL;  -- one of them is held up: the others go one by one
    END;
    FOREACH one IN ARRAY due LOOP
        BEGIN
            PERFORM fq.append_scheduled(ARRAY[one]);
            done := done + 1;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            failed := failed + 1;
            EXIT WHEN failed = 5;
        END;
    END LOOP;
    RETURN done;
END $$;

-- Move these scheduled events into the log, in the order in which they were due.
CREATE FUNCTION fq.append_scheduled(numbers bigint[]) RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    due fq.scheduled;
BEGIN
    FOR due IN SELECT * FROM fq.scheduled s WHERE s.number = ANY (numbers) ORDER BY s.due_at, s.number FOR UPDATE LOOP
        IF due.id IS NULL THEN
            INSERT INTO fq.events (topic, payload, key, headers) VALUES (due.topic, due.payload, due.key, due.headers);
        ELSE
            BEGIN
                PERFORM fq.publish(due.topic, due.payload, due.key, due.headers, due.id);
            EXCEPTION WHEN SQLSTATE 'FQ002' THEN
                NULL;  -- the id is that of another event by now
            END;
        END IF;
    END LOOP;
    DELETE FROM fq.scheduled s WHERE s.number = ANY (numbers);
END $$;
