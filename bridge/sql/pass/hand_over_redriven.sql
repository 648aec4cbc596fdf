-- Hand over parked events that are to be tried again, oldest first, one of a key at a time. Attempts go on counting
-- where they ended, in the newest epoch that had the event, so no task id is used twice. In a batch each event goes by
-- itself, because it failed before.
--
-- Binds      client         text
--            room           bigint, most events to hand over
--            ordered        boolean, whether events of one key wait for each other
--            epoch          integer, the client's
--            call           text, event | payload | kwargs
--            lease_seconds  double precision, until an answer is due
-- Returns    fq.message of each, in order
-- Relies on  lock_client having run in this transaction
WITH free AS MATERIALIZED (
    SELECT p."offset" FROM fq.parked p
     WHERE p.client_id = :client AND p.redrive
       AND (p.key IS NULL OR NOT :ordered
            OR p.key NOT IN (SELECT d.key FROM fq.open(:client) d WHERE d.key IS NOT NULL)
            AND p."offset" IN (SELECT min(o."offset") FROM fq.parked o
                                WHERE o.client_id = :client AND o.key IS NOT NULL AND (o.redrive OR o.held)
                                GROUP BY o.key))
     ORDER BY p."offset" LIMIT :room
), gone AS (
    DELETE FROM fq.parked p
     WHERE p.client_id = :client AND p."offset" >= (SELECT min(f."offset") FROM free f)
       AND p."offset" <= (SELECT max(f."offset") FROM free f)
       AND (p."offset" IN (SELECT f."offset" FROM free f)) IS TRUE  -- looked up: see decision 72
    RETURNING p.*
), taken AS (
    INSERT INTO fq.deliveries (client_id, "offset", epoch, key, part, attempt, earlier_attempts, due_at, first_at,
                               error_type, error, traceback, failures)
    SELECT g.client_id, g."offset", greatest(g.epoch, :epoch), g.key, g."offset", g.attempt + 1, g.attempt,
           now() + make_interval(secs => :lease_seconds), g.first_at, g.error_type, g.error, g.traceback,
           g.failures
      FROM gone g
    RETURNING "offset", epoch, attempt, part
), lowered AS (
    UPDATE fq.clients c SET lowest = t.lowest FROM (SELECT min("offset") AS lowest FROM taken) t
     WHERE c.id = :client AND t.lowest < c.lowest
)
SELECT m.*
  FROM taken t JOIN fq.events e ON e."offset" = t."offset"
 CROSS JOIN LATERAL fq.message_of(e, :client, t.epoch, t.attempt, :call, t.part) m
 ORDER BY m."offset"
