-- Move cursors up to what is done, count what succeeded, and let the pump look at these clients again where it must. A
-- window that was full has to be a tenth free before new events are handed over: a pass costs nearly the same for one event
-- as for a hundred. Successors of finished keys do not wait for that.
--
-- Binds      clients    text[]
--            succeeded  bigint[], how many events each finished by success
--            failed     boolean[], whether there are failures among the outcomes of each
-- Returns    nothing
-- Relies on  the clients being locked in this transaction
UPDATE fq.clients c
   SET "offset" = s."offset", lowest = least(d.lowest, s."offset" + 1), succeeded = c.succeeded + n.succeeded,
       "full" = c."full" AND d.open > 0.9 * c."window",
       wake_at = CASE WHEN n.failed OR d.retrying OR c.state = 'draining'
                        OR EXISTS (SELECT FROM fq.replays r WHERE r.client_id = c.id)
                        OR EXISTS (SELECT FROM fq.parked p WHERE p.client_id = c.id AND p.redrive)
                      THEN 'epoch' ELSE c.wake_at END
  FROM unnest(CAST(:clients AS text[]), CAST(:succeeded AS bigint[]), CAST(:failed AS boolean[])) AS n (id, succeeded, failed)
  JOIN fq.clients b ON b.id = n.id
 CROSS JOIN LATERAL fq.safe_offset(b.id, b."offset", b.dispatched) AS s ("offset")
 CROSS JOIN LATERAL (SELECT min(o."offset") AS lowest, count(*) AS open, coalesce(bool_or(o.state = 'retrying'), false) AS retrying
                       FROM fq.deliveries o WHERE o.client_id = b.id AND o."offset" >= b.lowest) d
 WHERE c.id = n.id
