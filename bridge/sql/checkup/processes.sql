-- Tell when a bridge's processes were at work last.
--
-- Binds      bridge           text
--            collector_holds  double precision, how long a collector's note holds, in seconds
--            beat_holds       double precision, likewise a beat's
-- Returns    pump_seconds (since a pump was at work; negative while one lingers, NULL if none ever was),
--            clock_host and clock_ahead_seconds (of the pumps' host that differs most, NULL if none told),
--            collector_seconds (since a collector was at work, NULL if none was for long), beats (those that were at
--            work at the same time as another one)
-- Relies on  nothing
SELECT (SELECT CAST(extract(epoch FROM clock_timestamp() - max(t.expires_at)) AS double precision)
          FROM fq.turns t WHERE t.bridge = :bridge AND t.name IN ('linger', 'tick')) AS pump_seconds,
       (SELECT t.holder FROM fq.turns t WHERE t.bridge = :bridge AND t.name = 'tick') AS clock_host,
       (SELECT t.clock_ahead_seconds FROM fq.turns t WHERE t.bridge = :bridge AND t.name = 'tick')
           AS clock_ahead_seconds,
       (SELECT CAST(extract(epoch FROM clock_timestamp() - max(t.expires_at)) AS double precision) + :collector_holds
          FROM fq.turns t WHERE t.bridge = :bridge AND starts_with(t.name, 'collector ')) AS collector_seconds,
       ARRAY(SELECT t.holder FROM fq.turns t
              WHERE t.bridge = :bridge AND starts_with(t.name, 'beat ') AND t.expires_at > clock_timestamp()
                AND EXISTS (SELECT FROM fq.turns o
                             WHERE o.bridge = :bridge AND starts_with(o.name, 'beat ') AND o.name <> t.name
                               AND o.expires_at > clock_timestamp()
                               AND o.taken_at < t.expires_at - make_interval(secs => :beat_holds)
                               AND t.taken_at < o.expires_at - make_interval(secs => :beat_holds))
              ORDER BY 1) AS beats
