-- Find the open deliveries that contradict the log, the client's row or each other.
--
-- Binds      client  text
--            first   bigint, the range to look at
--            last    bigint
--            most    integer, most offsets to name of each kind
-- Returns    kind, total, offsets of each kind that there is
-- Relies on  a snapshot
WITH keys AS MATERIALIZED (  -- those opened long after the last registration, which may have changed the ordering
    SELECT d.key FROM fq.deliveries d JOIN fq.clients c ON c.id = d.client_id
     WHERE d.client_id = :client AND d.key IS NOT NULL AND c.ordering = 'key'
       AND d.first_at > c.updated_at + interval '1 minute'
     GROUP BY d.key HAVING count(*) > 1
), found AS (
    SELECT d."offset", fault.kind
      FROM fq.deliveries d JOIN fq.clients c ON c.id = d.client_id LEFT JOIN fq.events e ON e."offset" = d."offset"
     CROSS JOIN LATERAL (SELECT d.epoch = c.epoch AND d.earlier_attempts = 0 AS own OFFSET 0) o
     CROSS JOIN LATERAL (VALUES
           ('open-not-in-log', e."offset" IS NULL),
           ('open-wrong-key', e."offset" IS NOT NULL AND e.key IS DISTINCT FROM d.key),
           ('open-above-dispatched', d."offset" > c.dispatched),
           ('open-below-cursor', o.own AND d."offset" <= c."offset"),
           ('open-below-lowest', d."offset" < c.lowest),
           ('open-not-matching', o.own AND d."offset" > c.counted_after AND '.' || e.topic !~ c.filter),
           ('open-of-no-epoch', d.epoch NOT BETWEEN c.epoch AND c.last_epoch),
           ('open-and-parked', EXISTS (SELECT FROM fq.parked p
                                        WHERE p.client_id = d.client_id AND p."offset" = d."offset")),
           ('key-open-twice', d.key IN (SELECT k.key FROM keys k))) fault (kind, there)
     WHERE d.client_id = :client AND d."offset" BETWEEN :first AND :last AND fault.there
)
SELECT kind, count(*) AS total, (array_agg("offset" ORDER BY "offset"))[1:CAST(:most AS integer)] AS offsets
  FROM found GROUP BY kind ORDER BY kind
