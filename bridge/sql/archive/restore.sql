-- Put archived events back into the log, at the offsets that they had. One that is there stays as it is.
--
-- Binds      offsets   bigint[], at or below what is pruned
--            topics    text[]
--            keys      text[]
--            payloads  text[], JSON
--            headers   text[], JSON objects
--            created   timestamptz[]
-- Returns    "offset" of each that was put back
-- Relies on  define_currval having run in this transaction
INSERT INTO fq.events ("offset", topic, key, payload, headers, created_at) OVERRIDING SYSTEM VALUE
SELECT a."offset", a.topic, a.key, CAST(a.payload AS jsonb), CAST(a.headers AS jsonb), a.created_at
  FROM unnest(CAST(:offsets AS bigint[]), CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:payloads AS text[]),
              CAST(:headers AS text[]), CAST(:created AS timestamptz[]))
       AS a ("offset", topic, key, payload, headers, created_at)
    ON CONFLICT ("offset") DO NOTHING
RETURNING "offset"
