-- The ids of events: which event a publisher has named so. A publisher may read this, and not the log.
CREATE VIEW fq.event_ids AS
    SELECT e.id, e."offset", e.topic FROM fq.events e WHERE e.id IS NOT NULL;

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
-- end of that transaction. The offset is drawn by the INSERT, as everywhere.
CREATE FUNCTION fq.publish(topic text, payload jsonb DEFAULT '{}', key text DEFAULT NULL, headers jsonb DEFAULT '{}',
                           id text DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    known record;
BEGIN
    FOR attempt IN 1..3 LOOP  -- the first one may be pruned, or erased, between two statements
        INSERT INTO fq.events (topic, payload, key, headers, id)
             VALUES (publish.topic, publish.payload, publish.key, coalesce(publish.headers, '{}'), publish.id)
        ON CONFLICT (id) WHERE id IS NOT NULL DO NOTHING;
        IF FOUND THEN
            RETURN currval('fq.events_offset_seq');
        END IF;
        SELECT i."offset", i.topic INTO known FROM fq.event_ids i WHERE i.id = publish.id;
        IF FOUND THEN
            PERFORM fq.refuse_id(publish.id, publish.topic, known.topic);
            RETURN known."offset";
        END IF;
    END LOOP;
    RAISE EXCEPTION 'event "%" is removed and published again and again', left(publish.id, 100)
        USING ERRCODE = 'serialization_failure', HINT = 'try again';
END $$;

-- Append many events, in the order of the array, and return their offsets in the same order; each event is an array of
-- topic, payload, key or null, headers or null, id or null. Two transactions that publish the same ids in another order
-- may wait for each other: Postgres then ends one of them (deadlock_detected).
CREATE FUNCTION fq.publish_many(events jsonb)
RETURNS SETOF bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    drawn bigint[];  -- of the events without an id, in their order
    wrong record;
BEGIN
    WITH inserted AS (
        INSERT INTO fq.events AS e (topic, payload, key, headers, id)
        SELECT n.event ->> 0, n.event -> 1, n.event ->> 2, coalesce(nullif(n.event -> 3, 'null'), '{}'), n.event ->> 4
          FROM jsonb_array_elements(publish_many.events) WITH ORDINALITY AS n (event, nth) ORDER BY n.nth
        ON CONFLICT (id) WHERE id IS NOT NULL DO NOTHING
        RETURNING currval('fq.events_offset_seq') AS "offset", e.id
    )
    SELECT array_agg(i."offset" ORDER BY i."offset") FILTER (WHERE i.id IS NULL) INTO drawn FROM inserted i;
    SELECT n.event ->> 4 AS id, n.event ->> 0 AS topic, i.topic AS known INTO wrong
      FROM jsonb_array_elements(publish_many.events) WITH ORDINALITY AS n (event, nth)
      LEFT JOIN fq.event_ids i ON i.id = n.event ->> 4
     WHERE n.event ->> 4 IS NOT NULL AND i.topic IS DISTINCT FROM n.event ->> 0 ORDER BY n.nth LIMIT 1;
    IF FOUND AND wrong.known IS NULL THEN
        RAISE EXCEPTION 'event "%" was removed at this moment', left(wrong.id, 100)
            USING ERRCODE = 'serialization_failure', HINT = 'try again';
    ELSIF FOUND THEN
        PERFORM fq.refuse_id(wrong.id, wrong.topic, wrong.known);
    END IF;
    RETURN QUERY
        SELECT coalesce(i."offset",
                        drawn[row_number() OVER (PARTITION BY n.event ->> 4 IS NULL ORDER BY n.nth)])
          FROM jsonb_array_elements(publish_many.events) WITH ORDINALITY AS n (event, nth)
          LEFT JOIN fq.event_ids i ON i.id = n.event ->> 4
         ORDER BY n.nth;
END $$;
