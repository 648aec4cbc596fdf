-- Put archived events back into the log, at the offsets that they had. One that is there stays as it is. The ledgers of
-- the clients that had counted them are told, as they were when they were pruned.
--
-- Binds      offsets   bigint[], at or below what is pruned
--            topics    text[]
--            keys      text[]
--            payloads  text[], JSON
--            headers   text[], JSON objects
--            created   timestamptz[]
-- Returns    "offset" of each that was put back
-- Relies on  define_currval having run in this transaction
WITH back AS (
    INSERT INTO fq.events ("offset", topic, key, payload, headers, created_at) OVERRIDING SYSTEM VALUE
    SELECT a."offset", a.topic, a.key, CAST(a.payload AS jsonb), CAST(a.headers AS jsonb), a.created_at
      FROM unnest(CAST(:offsets AS bigint[]), CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:payloads AS text[]),
                  CAST(:headers AS text[]), CAST(:created AS timestamptz[]))
           AS a ("offset", topic, key, payload, headers, created_at)
        ON CONFLICT ("offset") DO NOTHING
    RETURNING "offset", topic
), counted AS (
    INSERT INTO fq.uncounted AS u (client_id, counted_after, number, total)
    SELECT c.id, c.counted_after, -count(*), -sum(b."offset")
      FROM fq.clients c JOIN back b ON '.' || b.topic ~ c.filter
     WHERE c.task IS NOT NULL AND b."offset" > c.counted_after AND b."offset" <= c.dispatched
     GROUP BY c.id, c.counted_after
        ON CONFLICT ON CONSTRAINT uncounted_pkey DO UPDATE
       SET number = u.number + EXCLUDED.number, total = u.total + EXCLUDED.total
)
SELECT "offset" FROM back
