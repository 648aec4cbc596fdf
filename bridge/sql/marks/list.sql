-- List the marks, for people to look at. The trouble of a broker that does not serve is left out once it is not noted
-- any more: whoever tried to work with it has gone.
--
-- Binds      none
-- Returns    bridge, broker, serving, losses, trouble_kind, trouble, trouble_at, recalling, seen_seconds ago of each
-- Relies on  nothing
SELECT m.bridge, m.broker, m.serving, m.losses, t.trouble_kind, t.trouble, t.trouble_at,
       m.lost_at IS NOT NULL AS recalling,
       CAST(extract(epoch FROM clock_timestamp() - m.seen_at) AS double precision) AS seen_seconds
  FROM fq.marks m
  LEFT JOIN fq.mark_troubles t ON t.bridge = m.bridge AND t.broker = m.broker
 ORDER BY m.bridge, m.broker
