-- Tell how the log is. Nothing here walks over it.
--
-- Binds      none
-- Returns    drawn, horizon, bytes, pruned, oldest_seconds (age of the oldest event above what was pruned; NULL if
--            there is none), held_seconds (age of the oldest event that somebody still needs; NULL likewise),
--            scheduled (events for later, at most 100,000), scheduled_late_seconds (since when the first of them is
--            due; 0 where none is)
-- Relies on  nothing
SELECT CASE WHEN pg_is_in_recovery() THEN h."offset" ELSE greatest(h."offset", fq.last_drawn()) END AS drawn,
       h."offset" AS horizon, pg_total_relation_size(CAST('fq.events' AS regclass)) AS bytes, l.pruned,
       CAST(extract(epoch FROM clock_timestamp() - oldest.created_at) AS double precision) AS oldest_seconds,
       CAST(extract(epoch FROM clock_timestamp() - held.created_at) AS double precision) AS held_seconds,
       (SELECT count(*) FROM (SELECT FROM fq.scheduled LIMIT 100000) few) AS scheduled,
       CAST(greatest(0, coalesce(extract(epoch FROM clock_timestamp() - first.due_at), 0)) AS double precision)
           AS scheduled_late_seconds
  FROM fq.log l
 CROSS JOIN (SELECT fq.read_horizon(0) AS "offset") h
  LEFT JOIN LATERAL (SELECT e.created_at FROM fq.events e
                      WHERE e."offset" > l.pruned ORDER BY e."offset" LIMIT 1) oldest ON true
  LEFT JOIN LATERAL (SELECT e.created_at FROM fq.events e
                      WHERE e."offset" > (SELECT min(r.below) FROM fq.held_ranges r)
                      ORDER BY e."offset" LIMIT 1) held ON true
  LEFT JOIN (SELECT s.due_at FROM fq.scheduled s
              ORDER BY coalesce(s.held_until, s.due_at), s.number LIMIT 1) first ON true
