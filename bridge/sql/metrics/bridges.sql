-- Tell how the bridges are: those that have clients, and the one that asks.
--
-- Binds      bridge           text, the one that asks
--            bridges          bigint, most bridges
--            collector_holds  double precision, how long a collector's note holds, in seconds
--            beat_holds       double precision, likewise a beat's
-- Returns    bridge, clients (that it drives), pump_silent_seconds and beat_silent_seconds (since the last sign of
--            each, or since its first client was registered; NULL without both, negative while a pump lingers),
--            collectors (at work), collector_silent_seconds (since the last sign of one; NULL if there is none),
--            stopped (whether marks stop it)
-- Relies on  nothing
WITH named AS (
    SELECT c.bridge, count(*) AS clients, min(c.created_at) AS began
      FROM fq.clients c WHERE c.task IS NOT NULL GROUP BY c.bridge
     UNION ALL
    SELECT CAST(:bridge AS text), 0, NULL
     WHERE NOT EXISTS (SELECT FROM fq.clients c WHERE c.task IS NOT NULL AND c.bridge = CAST(:bridge AS text))
)
SELECT n.bridge, n.clients,
       CAST(extract(epoch FROM clock_timestamp() - coalesce(t.pump, n.began)) AS double precision)
           AS pump_silent_seconds,
       CAST(extract(epoch FROM clock_timestamp() - coalesce(t.beat, n.began)) AS double precision)
           AS beat_silent_seconds,
       t.collectors,
       CAST(extract(epoch FROM clock_timestamp() - t.collector) AS double precision) AS collector_silent_seconds,
       EXISTS (SELECT FROM fq.mark_troubles m WHERE m.bridge = n.bridge) AS stopped
  FROM named n
 CROSS JOIN LATERAL (
       SELECT max(t.expires_at) FILTER (WHERE t.name IN ('linger', 'tick')) AS pump,
              max(t.expires_at) FILTER (WHERE starts_with(t.name, 'beat '))
                  - make_interval(secs => CAST(:beat_holds AS double precision)) AS beat,
              max(t.expires_at) FILTER (WHERE starts_with(t.name, 'collector '))
                  - make_interval(secs => CAST(:collector_holds AS double precision)) AS collector,
              count(*) FILTER (WHERE starts_with(t.name, 'collector ') AND t.expires_at > clock_timestamp())
                  AS collectors
         FROM fq.turns t WHERE t.bridge = n.bridge) t
 ORDER BY n.bridge <> CAST(:bridge AS text), n.bridge LIMIT :bridges
