-- The scheduled events: they are appended to the log when they are due, and not before. So an event has its offset when
-- it is due, and nothing waits for it until then: neither the horizon, nor a cursor, nor the later events of its key.
-- The clock is this server's.
CREATE TABLE fq.scheduled (
    number     bigint GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME fq.scheduled_number_seq)
               CONSTRAINT scheduled_pkey PRIMARY KEY,
    due_at     timestamptz NOT NULL
               CONSTRAINT scheduled_due_at CHECK (due_at >= '1000-01-01 UTC' AND due_at < '9999-01-01 UTC'),
    topic      fq.event_topic NOT NULL,
    key        fq.event_key,
    payload    fq.event_payload NOT NULL DEFAULT '{}',
    headers    fq.event_headers NOT NULL DEFAULT '{}',
    id         text COLLATE "C" CONSTRAINT scheduled_id_length CHECK (length(id) BETWEEN 1 AND 512),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    held_until timestamptz  -- it was due and could not be appended: it is tried again then, behind the others
);
CREATE INDEX scheduled_due ON fq.scheduled (coalesce(held_until, due_at), number);
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

-- Append the scheduled events that are due, the one that was due first before the others. At most `most`, and of some
-- 16 MiB, so that one call is short. One whose id is in the log already is that event, and is dropped. One whose id
-- another transaction publishes at this moment is held for seconds, and one that Postgres refuses (a constraint or a
-- trigger of yours) for a minute: nothing waits for it, and `why` says what was wrong with the last one. What is wrong
-- with all of them is raised. An error that does not tell whose fault it is counts for one event if others pass.
CREATE FUNCTION fq.append_due(most integer, OUT done integer, OUT held integer, OUT why text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '20ms' AS $$
DECLARE
    due    bigint[];
    one    bigint;
    busy   integer := 0;
    broken text;
    doubt  text;
    state  text;
BEGIN
    done := 0;
    held := 0;
    IF NOT EXISTS (SELECT FROM fq.scheduled s WHERE coalesce(s.held_until, s.due_at) <= clock_timestamp()) THEN
        RETURN;
    END IF;
    PERFORM FROM fq.turns t WHERE t.bridge = 'bridge' AND t.name = 'scheduled' FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    due := fq.take_due(most);
    BEGIN
        PERFORM fq.append_scheduled(due);
        done := cardinality(due);
        RETURN;
    EXCEPTION WHEN OTHERS THEN
        NULL;  -- one of them is held up or refused: the others go one by one
    END;
    FOREACH one IN ARRAY due LOOP
        BEGIN
            PERFORM fq.append_scheduled(ARRAY[one]);
            done := done + 1;
        EXCEPTION WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
            UPDATE fq.scheduled s SET held_until = clock_timestamp() + interval '5 seconds' WHERE s.number = one;
            held := held + 1;
            busy := busy + 1;
            EXIT WHEN busy = 25;  -- each has cost a fiftieth of a second
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
            IF left(SQLSTATE, 2) IN ('08', '0A') OR SQLSTATE IN ('3F000', '42P01', '42883') THEN
                state := SQLSTATE;  -- a trigger of somebody's own asks a server that is away, or calls what was dropped
                doubt := SQLERRM;
            ELSIF left(SQLSTATE, 2) IN ('25', '28', '3D', '3F', '42', '53', '55', '57', '58', 'XX')
               OR broken = 'events_pkey' THEN
                RAISE;
            END IF;
            UPDATE fq.scheduled s SET held_until = clock_timestamp() + interval '1 minute' WHERE s.number = one;
            held := held + 1;
            why := format('event %s: %s', one, left(SQLERRM, 500));
        END;
    END LOOP;
    IF state IS NOT NULL AND done = 0 THEN
        RAISE EXCEPTION USING ERRCODE = state, MESSAGE = doubt;
    END IF;
END $$;

-- Lock the scheduled events that are due, as many as fit into one call of fq.append_due, and return their numbers in
-- the order in which they were due. One that is being cancelled is passed by.
CREATE FUNCTION fq.take_due(most integer) RETURNS bigint[] LANGUAGE sql VOLATILE BEGIN ATOMIC
    WITH due AS MATERIALIZED (
        SELECT s.number, coalesce(s.held_until, s.due_at) AS at, pg_column_size(s.payload) AS size
          FROM fq.scheduled s WHERE coalesce(s.held_until, s.due_at) <= clock_timestamp()
         ORDER BY coalesce(s.held_until, s.due_at), s.number LIMIT most
           FOR UPDATE SKIP LOCKED
    ), summed AS (
        SELECT d.number, d.at, sum(d.size) OVER (ORDER BY d.at, d.number) - d.size AS before FROM due d
    )
    SELECT coalesce(array_agg(s.number ORDER BY s.at, s.number), '{}') FROM summed s WHERE s.before < 16777216;
END;

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
            PERFORM fq.publish(due.topic, due.payload, due.key, due.headers, due.id);
        END IF;
    END LOOP;
    DELETE FROM fq.scheduled s WHERE s.number = ANY (numbers);
END $$;
