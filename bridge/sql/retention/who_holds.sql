-- Tell who keeps the log from being pruned further; who keeps the oldest event comes first.
--
-- Binds      before  timestamptz: only if the event was created earlier, or says a time to come, as others behind it
--                    may be old; NULL: any
--            upto    bigint, the last offset that would be removed otherwise
-- Returns    kind: client, replay or hold; name; first: the first event that it keeps; state, state_reason and state_at
--            of a client; expires_at of a hold; event_at: when `first` was created; at most 10
-- Relies on  nothing
SELECT r.kind, r.name, e."offset" AS first,
       CASE WHEN c.id IS NOT NULL AND c.task IS NULL THEN 'reader' ELSE c.state END AS state, c.state_reason,
       c.state_at, h.expires_at, e.created_at AS event_at
  FROM fq.held_ranges r
  LEFT JOIN fq.clients c ON r.kind <> 'hold' AND c.id = r.name
  LEFT JOIN fq.holds h ON r.kind = 'hold' AND h.name = r.name
 CROSS JOIN LATERAL (SELECT e."offset", e.created_at FROM fq.events e
                      WHERE e."offset" > r.below ORDER BY e."offset" LIMIT 1) e
 WHERE e."offset" <= :upto
   AND (e.created_at < :before OR e.created_at > clock_timestamp() OR CAST(:before AS timestamptz) IS NULL)
 ORDER BY r.below, r.kind, r.name
 LIMIT 10
