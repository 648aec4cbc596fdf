-- The types of an event's parts, with their bounds, which are those of bridge/bounds.py: Postgres reads the CHECKs of a
-- table anew for each INSERT, and keeps those of a type (decision 57).
CREATE DOMAIN fq.event_topic AS text COLLATE "C"
    CONSTRAINT events_topic CHECK (VALUE ~ '^[^.*#[:space:]]+(\.[^.*#[:space:]]+)*$')
    CONSTRAINT events_topic_length CHECK (length(VALUE) <= 255);
CREATE DOMAIN fq.event_key AS text COLLATE "C"  -- it fits into every index, together with a client's id
    CONSTRAINT events_key_length CHECK (length(VALUE) <= 512);
CREATE DOMAIN fq.event_headers AS jsonb
    CONSTRAINT events_headers CHECK (VALUE @> '{}')  -- an object: one function, where a look at its type is two
    CONSTRAINT events_headers_length  -- most events have `{}`
    CHECK (VALUE = '{}' OR octet_length(concat(VALUE)) <= 65536);
CREATE DOMAIN fq.event_payload AS jsonb
    CONSTRAINT events_payload_length
    -- A number of a few bytes may have 131,072 digits, and nobody can read a text of 1 GB: no tail, archive or reader
    -- of yours. What has 64 KiB can't become one. The array unpacks what came in compressed. Each INSERT sets up what
    -- stands here: `concat` takes less of that than a cast to text, and returns the same.
    CHECK (pg_column_size(ARRAY[VALUE]) <= 65536 OR octet_length(concat(VALUE)) <= 67108864);
CREATE DOMAIN fq.event_time AS timestamptz  -- what Python can't read is refused, infinity too
    CONSTRAINT events_created_at CHECK (VALUE >= '1000-01-01 UTC' AND VALUE < '9999-01-01 UTC');

-- The log. The horizon relies on GENERATED ALWAYS and CACHE 1: only an INSERT that holds its lock on the table already
-- can draw an offset, and offsets grow in the order in which they are drawn.
CREATE TABLE fq.events (
    "offset"   bigint GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME fq.events_offset_seq CACHE 1)
               CONSTRAINT events_pkey PRIMARY KEY,
    topic      fq.event_topic NOT NULL DEFAULT 'event',
    key        fq.event_key,
    payload    fq.event_payload NOT NULL DEFAULT '{}',
    headers    fq.event_headers NOT NULL DEFAULT '{}',
    created_at fq.event_time NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX events_topic_offset ON fq.events (topic, "offset");
CREATE INDEX events_key_offset ON fq.events (key, "offset") WHERE key IS NOT NULL;
CREATE INDEX events_created_at ON fq.events USING brin (created_at);

-- Refuse an offset that was not drawn for this very row, as OVERRIDING SYSTEM VALUE and COPY would let it be (decision
-- 31). The condition is evaluated without a call. No CHECK, which would hold for the UPDATE that erases an event too.
-- Who may erase events may also put those back that were pruned: a replay from an archive does (decision 39).
CREATE FUNCTION fq.refuse_offset() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF has_column_privilege('fq.events', 'payload', 'UPDATE') THEN  -- others may not even look at fq.log
        IF NEW."offset" BETWEEN 1 AND (SELECT l.pruned FROM fq.log l) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'offset % was not drawn for this event', NEW."offset"
        USING ERRCODE = 'check_violation', SCHEMA = 'fq', TABLE = 'events', CONSTRAINT = 'events_offset',
              HINT = 'leave the offset out: the database draws it';
END $$;
CREATE TRIGGER events_offset BEFORE INSERT ON fq.events
    FOR EACH ROW WHEN (NEW."offset" IS DISTINCT FROM currval('fq.events_offset_seq'))
    EXECUTE FUNCTION fq.refuse_offset();

-- Refuse to change events. Trigger events_erased (12_erase.sql) says what an UPDATE may do.
CREATE FUNCTION fq.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'events are immutable: % on fq.events is refused', TG_OP
        USING ERRCODE = 'FQ001', HINT = 'publish a new event that corrects the old one';
END $$;
CREATE TRIGGER events_immutable BEFORE TRUNCATE ON fq.events
    FOR EACH STATEMENT EXECUTE FUNCTION fq.refuse_change();
