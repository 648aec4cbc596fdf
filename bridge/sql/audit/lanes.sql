-- Find the lanes that contradict the log, the client's row or its deliveries.
--
-- Binds      client  text
--            first   bigint, the range to look at
--            last    bigint
--            most    integer, most offsets to name of each kind
-- Returns    kind, total, offsets of each kind that there is
-- Relies on  a snapshot
WITH keys AS (  -- windows, for a join of the two lists may compare each with each: see decision 72
    SELECT u.key, u."offset", u.ready, max(u.own) OVER same AS own, bool_or(u.ready IS NULL) OVER same AS busy
      FROM (SELECT l.key, l."offset", l.ready, CAST(NULL AS bigint) AS own FROM fq.lanes l WHERE l.client_id = :client
             UNION ALL
            SELECT d.key, NULL, NULL, CASE WHEN d.epoch = c.epoch AND d.earlier_attempts = 0 THEN d."offset" END
              FROM fq.deliveries d JOIN fq.clients c ON c.id = d.client_id
             WHERE d.client_id = :client AND d.key IS NOT NULL
             UNION ALL
            SELECT p.key, NULL, NULL, NULL FROM fq.parked p
             WHERE p.client_id = :client AND p.held AND p.key IS NOT NULL) u
    WINDOW same AS (PARTITION BY u.key)
), found AS (
    SELECT l."offset", fault.kind
      FROM keys l JOIN fq.clients c ON c.id = :client LEFT JOIN fq.events e ON e."offset" = l."offset"
     CROSS JOIN LATERAL (VALUES
           ('lane-not-in-log', e."offset" IS NULL),
           ('lane-wrong-key', e."offset" IS NOT NULL AND e.key IS DISTINCT FROM l.key),
           ('lane-above-dispatched', l."offset" > c.dispatched),
           ('lane-below-cursor', l."offset" <= c."offset"),
           ('lane-not-matching', l."offset" > c.counted_after AND '.' || e.topic !~ c.filter),
           ('lane-never-ready', NOT l.ready AND NOT l.busy),
           ('lane-overtaken', l.own >= l."offset"),
           ('lane-and-parked', EXISTS (SELECT FROM fq.parked p
                                        WHERE p.client_id = c.id AND p."offset" = l."offset"))
           ) fault (kind, there)
     WHERE l.ready IS NOT NULL AND l."offset" BETWEEN :first AND :last AND fault.there
)
SELECT kind, count(*) AS total, (array_agg("offset" ORDER BY "offset"))[1:CAST(:most AS integer)] AS offsets
  FROM found GROUP BY kind ORDER BY kind
