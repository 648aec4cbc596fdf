-- The ids of events: which event a publisher has named so. A row is written first, which makes another transaction with
-- the same id wait; then the event, which draws the offset; then the offset here. An event without an id has no row,
-- and its INSERT knows nothing of this table (decision 45).
CREATE TABLE fq.event_ids (
    id       text COLLATE "C" CONSTRAINT event_ids_pkey PRIMARY KEY
             CONSTRAINT event_ids_length CHECK (length(id) BETWEEN 1 AND 512),
    topic    fq.event_topic NOT NULL,
    "offset" bigint  -- NULL only until the event is written, in the same transaction
) WITH (fillfactor = 80);
CREATE INDEX event_ids_offset ON fq.event_ids ("offset");

-- Refuse to let an id name another event than before.
CREATE FUNCTION fq.keep_id() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'id "%" names event %, and no other', left(OLD.id, 100), OLD."offset" USING ERRCODE = 'FQ001';
END $$;
CREATE TRIGGER event_ids_kept BEFORE UPDATE ON fq.event_ids FOR EACH ROW
    WHEN (OLD."offset" IS NOT NULL OR NEW.id <> OLD.id OR NEW.topic <> OLD.topic) EXECUTE FUNCTION fq.keep_id();

-- Refuse an id that names an event of another topic: the two are not the same event, and one of them would be lost.
CREATE FUNCTION fq.refuse_id(id text, topic text, known text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF topic <> known THEN
        RAISE EXCEPTION 'id "%" is that of an event with the topic %, and not %', left(id, 100), known, topic
            USING ERRCODE = 'FQ002', HINT = 'publish each event with an id of its own';
    END IF;
END $$;

-- Append an event, and return its offset. Of one id only one event is stored: for the same id again this returns the
-- offset of the first one, and writes nothing. Where another transaction has just published the id, this waits for the
-- end of that transaction, before it takes a lock on the log.
CREATE FUNCTION fq.publish(topic text, payload jsonb DEFAULT '{}', key text DEFAULT NULL, headers jsonb DEFAULT '{}',
                           id text DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    known record;
    drawn bigint;
BEGIN
    FOR attempt IN 1..3 LOOP  -- the first one may be pruned between two statements
        IF publish.id IS NOT NULL THEN
            SELECT s.topic INTO known FROM fq.scheduled s WHERE s.id = publish.id;
            PERFORM fq.refuse_id(publish.id, publish.topic, known.topic);
            INSERT INTO fq.event_ids (id, topic) VALUES (publish.id, publish.topic) ON CONFLICT (id) DO NOTHING;
            IF NOT FOUND THEN
                SELECT i."offset", i.topic INTO known FROM fq.event_ids i WHERE i.id = publish.id;
                CONTINUE WHEN NOT FOUND;
                PERFORM fq.refuse_id(publish.id, publish.topic, known.topic);
                IF known."offset" IS NOT NULL THEN
                    RETURN known."offset";
                END IF;
                PERFORM FROM fq.event_ids i WHERE i.id = publish.id AND i."offset" IS NULL FOR UPDATE;
                CONTINUE WHEN NOT FOUND;  -- somebody wrote the id without an event: it names this one
            END IF;
        END IF;
        INSERT INTO fq.events (topic, payload, key, headers)
             VALUES (publish.topic, publish.payload, publish.key, coalesce(publish.headers, '{}'));
        drawn := currval('fq.events_offset_seq');
        IF publish.id IS NOT NULL THEN
            UPDATE fq.event_ids SET "offset" = drawn WHERE id = publish.id;
        END IF;
        RETURN drawn;
    END LOOP;
    RAISE EXCEPTION 'event "%" is removed and published again and again', left(publish.id, 100)
        USING ERRCODE = 'serialization_failure', HINT = 'try again';
END $$;

-- Append many events, in the order of the array, and return their offsets in the same order; each event is an array of
-- topic, payload, key or null, headers or null, id or null. Two transactions that publish the same ids in another order
-- may wait for each other: Postgres then ends one of them (deadlock_detected). Each id is looked up by the index: for
-- a join Postgres would go by its statistics, which know nothing of the ids that this very call has written.
CREATE FUNCTION fq.publish_many(events jsonb)
RETURNS SETOF bigint LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    fresh  text[];  -- the ids that are not known yet
    wanted bigint[];  -- the places in the array of the events that are to be written
    drawn  bigint[];  -- and their offsets
    wrong  record;
    one    record;
BEGIN
    PERFORM fq.refuse_id(n.event ->> 4, n.event ->> 0, s.topic)
       FROM jsonb_array_elements(publish_many.events) AS n (event)
      CROSS JOIN LATERAL (SELECT s.topic FROM fq.scheduled s WHERE s.id = n.event ->> 4 OFFSET 0) s;
    WITH claimed AS (
        INSERT INTO fq.event_ids AS i (id, topic)
        SELECT n.event ->> 4, n.event ->> 0
          FROM jsonb_array_elements(publish_many.events) WITH ORDINALITY AS n (event, nth)
         WHERE n.event ->> 4 IS NOT NULL ORDER BY n.nth
        ON CONFLICT (id) DO NOTHING RETURNING i.id
    )
    SELECT array_agg(c.id) INTO fresh FROM claimed c;
    WITH known AS MATERIALIZED (
        SELECT n.event ->> 4 AS id FROM jsonb_array_elements(publish_many.events) AS n (event)
         WHERE n.event ->> 4 IS NOT NULL
        EXCEPT SELECT unnest(fresh)
    )
    SELECT fresh || array_agg(e.id) INTO fresh  -- somebody wrote these ids without an event: they name ours
      FROM known k CROSS JOIN LATERAL (SELECT i.id FROM fq.event_ids i
                                        WHERE i.id = k.id AND i."offset" IS NULL FOR UPDATE) e;
    SELECT array_agg(f.nth ORDER BY f.nth) INTO wanted
      FROM (SELECT min(n.nth) AS nth
              FROM jsonb_array_elements(publish_many.events) WITH ORDINALITY AS n (event, nth)
              LEFT JOIN unnest(fresh) AS c (id) ON c.id = n.event ->> 4
             WHERE n.event ->> 4 IS NULL OR c.id IS NOT NULL
             GROUP BY c.id, CASE WHEN c.id IS NULL THEN n.nth END) f;
    WITH written AS (
        INSERT INTO fq.events (topic, payload, key, headers)
        SELECT n.event ->> 0, n.event -> 1, n.event ->> 2, coalesce(nullif(n.event -> 3, 'null'), '{}')
          FROM jsonb_array_elements(publish_many.events) WITH ORDINALITY AS n (event, nth)
          JOIN unnest(wanted) AS w (nth) ON w.nth = n.nth ORDER BY n.nth
        RETURNING currval('fq.events_offset_seq') AS "offset"
    )
    SELECT array_agg(w."offset" ORDER BY w."offset") INTO drawn FROM written w;
    FOR one IN SELECT publish_many.events -> CAST(d.nth - 1 AS integer) ->> 4 AS id, d."offset"
                 FROM unnest(wanted, drawn) AS d (nth, "offset") LOOP
        UPDATE fq.event_ids i SET "offset" = one."offset" WHERE i.id = one.id;
    END LOOP;
    SELECT n.event ->> 4 AS id, n.event ->> 0 AS topic, i.topic AS known INTO wrong
      FROM jsonb_array_elements(publish_many.events) WITH ORDINALITY AS n (event, nth)
      LEFT JOIN LATERAL (SELECT i.topic FROM fq.event_ids i WHERE i.id = n.event ->> 4 OFFSET 0) i ON true
     WHERE n.event ->> 4 IS NOT NULL AND i.topic IS DISTINCT FROM n.event ->> 0 ORDER BY n.nth LIMIT 1;
    IF FOUND AND wrong.known IS NULL THEN
        RAISE EXCEPTION 'event "%" was removed at this moment', left(wrong.id, 100)
            USING ERRCODE = 'serialization_failure', HINT = 'try again';
    ELSIF FOUND THEN
        PERFORM fq.refuse_id(wrong.id, wrong.topic, wrong.known);
    END IF;
    RETURN QUERY
        SELECT coalesce(i."offset", d."offset")
          FROM jsonb_array_elements(publish_many.events) WITH ORDINALITY AS n (event, nth)
          LEFT JOIN LATERAL (SELECT i."offset" FROM fq.event_ids i WHERE i.id = n.event ->> 4 OFFSET 0) i ON true
          LEFT JOIN unnest(wanted, drawn) AS d (nth, "offset") ON d.nth = n.nth
         ORDER BY n.nth;
END $$;
