-- Find the lanes that contradict the log, the client's row or its deliveries.
--
-- Binds      client  text
--            first   bigint, the range to look at
--            last    bigint
--            most    integer, most offsets to name of each kind
-- Returns    kind, total, offsets of each kind that there is
-- Relies on  a snapshot
WITH busy AS MATERIALIZED (
    SELECT b.key, max(b."offset") FILTER (WHERE b.own) AS own
      FROM (SELECT d.key, d."offset", d.epoch = c.epoch AND d.earlier_attempts = 0 AS own
              FROM fq.deliveries d JOIN fq.clients c ON c.id = d.client_id
             WHERE d.client_id = :client AND d.key IS NOT NULL
             UNION ALL
            SELECT p.key, p."offset", false FROM fq.parked p
             WHERE p.client_id = :client AND p.held AND p.key IS NOT NULL) b
     GROUP BY b.key
), found AS (
    SELECT l."offset", fault.kind
      FROM fq.lanes l JOIN fq.clients c ON c.id = l.client_id LEFT JOIN busy b ON b.key = l.key
      LEFT JOIN fq.events e ON e."offset" = l."offset"
     CROSS JOIN LATERAL (VALUES
           ('lane-not-in-log', e."offset" IS NULL),
           ('lane-wrong-key', e."offset" IS NOT NULL AND e.key IS DISTINCT FROM l.key),
           ('lane-above-dispatched', l."offset" > c.dispatched),
           ('lane-below-cursor', l."offset" <= c."offset"),
           ('lane-not-matching', l."offset" > c.counted_after AND '.' || e.topic !~ c.filter),
           ('lane-never-ready', NOT l.ready AND b.key IS NULL),
           ('lane-overtaken', b.own >= l."offset"),
           ('lane-and-parked', EXISTS (SELECT FROM fq.parked p
                                        WHERE p.client_id = l.client_id AND p."offset" = l."offset"))
           ) fault (kind, there)
     WHERE l.client_id = :client AND l."offset" BETWEEN :first AND :last AND fault.there
)
SELECT kind, count(*) AS total, (array_agg("offset" ORDER BY "offset"))[1:CAST(:most AS integer)] AS offsets
  FROM found GROUP BY kind ORDER BY kind
