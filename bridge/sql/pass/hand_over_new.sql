-- Hand the next matching events over to a client. Remember them as deliveries, remember keys that must wait as lanes,
-- and move `dispatched` to where the log was looked through.
--
-- Binds      client         text
--            after          bigint, what was handed over so far
--            horizon        bigint, the last event that may be looked at
--            slice          bigint, most events to look at
--            room           bigint, most events to hand over
--            filter         text, regular expression over '.' || topic
--            ordered        boolean, whether events of one key wait for each other
--            epoch          integer, the client's
--            call           text, event | payload | kwargs
--            lease_seconds  double precision, until an answer is due
-- Returns    fq.message of each, in order; a single row whose "offset" is NULL where none goes out. Each row has `upto`
-- Relies on  lock_client having run in this transaction
WITH slice AS MATERIALIZED (
    SELECT e.* FROM fq.events e
     WHERE e."offset" > :after AND e."offset" <= :horizon
     ORDER BY e."offset" LIMIT :slice
), blocked AS MATERIALIZED (
    SELECT b.key FROM fq.busy_keys(:client) b WHERE :ordered
     UNION ALL
    SELECT l.key FROM fq.lanes l WHERE l.client_id = :client  -- in any order: a lane covers all that follows in its key
), matching AS (
    SELECT s."offset", s.key, s.key IS NOT NULL AND (s.key IN (SELECT key FROM blocked)
           OR :ordered AND row_number() OVER (PARTITION BY s.key ORDER BY s."offset") > 1) AS waits
      FROM slice s WHERE '.' || s.topic ~ :filter
), numbered AS (
    SELECT "offset", key, waits, count(*) FILTER (WHERE NOT waits) OVER (ORDER BY "offset") AS nth FROM matching
), seen AS MATERIALIZED (
    SELECT coalesce((SELECT min("offset") - 1 FROM numbered WHERE nth > :room),
                    (SELECT max("offset") FROM slice HAVING count(*) = :slice), :horizon) AS upto
), taken AS (
    INSERT INTO fq.deliveries (client_id, "offset", epoch, key, due_at)
    SELECT :client, n."offset", :epoch, n.key, now() + make_interval(secs => :lease_seconds)
      FROM numbered n WHERE NOT n.waits AND n."offset" <= (SELECT upto FROM seen)
    RETURNING "offset"
), waiting AS (
    INSERT INTO fq.lanes (client_id, key, "offset")
    SELECT :client, n.key, min(n."offset") FROM numbered n WHERE n.waits AND n."offset" <= (SELECT upto FROM seen)
     GROUP BY n.key ON CONFLICT (client_id, key) DO NOTHING
), moved AS (
    UPDATE fq.clients c SET dispatched = seen.upto FROM seen WHERE c.id = :client AND c.dispatched <> seen.upto
)
SELECT m.*
  FROM seen LEFT JOIN slice s ON (s."offset" IN (SELECT "offset" FROM taken)) IS TRUE  -- looked up: see decision 72
 CROSS JOIN LATERAL fq.message_of(CAST(ROW(s.*) AS fq.events), :client, :epoch, 1, :call, upto => seen.upto) m
 ORDER BY m."offset"
