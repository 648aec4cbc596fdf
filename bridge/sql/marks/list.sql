-- List the marks, for people to look at.
--
-- Binds      none
-- Returns    bridge, broker, serving, losses, trouble_kind, trouble, trouble_at, recalling, seen_seconds ago of each
-- Relies on  nothing
SELECT m.bridge, m.broker, m.serving, m.losses, m.trouble_kind, m.trouble, m.trouble_at,
       m.lost_at IS NOT NULL AS recalling,
       CAST(extract(epoch FROM clock_timestamp() - m.seen_at) AS double precision) AS seen_seconds
  FROM fq.marks m ORDER BY m.bridge, m.broker
