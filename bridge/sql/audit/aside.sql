-- Find the parked events, and the events that wait aside for a replay, that contradict the log or the client's row.
--
-- Binds      client  text
--            first   bigint, the range to look at
--            last    bigint
--            most    integer, most offsets to name of each kind
-- Returns    kind, total, offsets of each kind that there is
-- Relies on  a snapshot
WITH found AS (
    SELECT p."offset", fault.kind
      FROM fq.parked p JOIN fq.clients c ON c.id = p.client_id LEFT JOIN fq.events e ON e."offset" = p."offset"
     CROSS JOIN LATERAL (VALUES
           ('parked-not-in-log', e."offset" IS NULL),
           ('parked-wrong-key', e."offset" IS NOT NULL AND e.key IS DISTINCT FROM p.key),
           ('parked-above-dispatched', p."offset" > c.dispatched),
           ('parked-of-no-epoch', p.epoch NOT BETWEEN 1 AND c.last_epoch)) fault (kind, there)
     WHERE p.client_id = :client AND p."offset" BETWEEN :first AND :last AND fault.there
     UNION ALL
    SELECT a."offset", fault.kind
      FROM fq.aside a JOIN fq.clients c ON c.id = a.client_id LEFT JOIN fq.replays r ON r.id = a.replay_id
      LEFT JOIN fq.events e ON e."offset" = a."offset"
     CROSS JOIN LATERAL (VALUES
           ('aside-of-no-replay', r.id IS NULL),
           ('aside-not-passed', a."offset" >= r.next),
           ('aside-not-in-log', e."offset" IS NULL)) fault (kind, there)
     WHERE a.client_id = :client AND a."offset" BETWEEN :first AND :last AND fault.there
     UNION ALL
    SELECT r.next, 'replay-of-no-epoch'
      FROM fq.replays r JOIN fq.clients c ON c.id = r.client_id
     WHERE r.client_id = :client AND r.epoch NOT BETWEEN c.epoch + 1 AND c.last_epoch
)
SELECT kind, count(*) AS total, (array_agg("offset" ORDER BY "offset"))[1:CAST(:most AS integer)] AS offsets
  FROM found GROUP BY kind ORDER BY kind
