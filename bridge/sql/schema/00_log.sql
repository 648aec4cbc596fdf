-- What the log is: one row. `id` tells it from every other log, and goes along with a dump. A new generation begins
-- with `resync` after a restore, and `starts` has the first offset of each: '{0}' while there is only the first. So
-- generation and offset together name one event for ever, also where a restore let the log draw an offset twice. All
-- offsets up to `pruned` may be gone, because `prune` removed old events.
CREATE TABLE fq.log (
    one     boolean NOT NULL DEFAULT true CONSTRAINT log_pkey PRIMARY KEY CONSTRAINT log_one CHECK (one),
    id      uuid NOT NULL DEFAULT gen_random_uuid(),
    starts  bigint[] NOT NULL DEFAULT '{0}',
    pruned  bigint NOT NULL DEFAULT -1
) WITH (fillfactor = 50);
INSERT INTO fq.log DEFAULT VALUES;

-- Return the log's generation now, from 1.
CREATE FUNCTION fq.generation() RETURNS integer LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT cardinality(l.starts) FROM fq.log l;
END;

-- Return the generation to which the event with this offset belongs.
CREATE FUNCTION fq.generation_of("offset" bigint) RETURNS integer LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT width_bucket("offset", (SELECT l.starts FROM fq.log l));
END;

-- Return the `source` of the log's events as CloudEvents.
CREATE FUNCTION fq.source() RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT 'urn:uuid:' || l.id FROM fq.log l;
END;
