-- Move cursors up to what is finished, count what succeeded, and let the pump look at these clients again where it
-- must. A full window takes new events again when a tenth of it is free: see fq.refill_at. The next event of a finished
-- key does not wait for that.
--
-- Binds      clients    text[]
--            succeeded  bigint[], how many events each finished by success
--            totals     numeric[], the sums of their offsets
--            failed     boolean[], whether there are failures among the outcomes of each
--            failures   bigint[], how many failures of each counted
--            duplicates bigint[], how many outcomes of each changed nothing
-- Returns    nothing
-- Relies on  the clients being locked in this transaction
UPDATE fq.clients c
   SET "offset" = s."offset", lowest = least(d.lowest, s."offset" + 1), succeeded = c.succeeded + n.succeeded,
       failed = c.failed + n.failures, duplicates = c.duplicates + n.duplicates,
       owed = c.owed - n.succeeded, owed_sum = c.owed_sum - n.total,
       "full" = c."full" AND d.opened > fq.refill_at(c),
       wake_at = CASE WHEN n.failed OR d.retrying OR c.state = 'draining'
                        OR EXISTS (SELECT FROM fq.replays r WHERE r.client_id = c.id)
                        OR EXISTS (SELECT FROM fq.parked p WHERE p.client_id = c.id AND p.redrive)
                      THEN fq.at_once() ELSE c.wake_at END
  FROM unnest(CAST(:clients AS text[]), CAST(:succeeded AS bigint[]), CAST(:totals AS numeric[]),
              CAST(:failed AS boolean[]), CAST(:failures AS bigint[]), CAST(:duplicates AS bigint[]))
       AS n (id, succeeded, total, failed, failures, duplicates)
  JOIN fq.clients b ON b.id = n.id
 CROSS JOIN LATERAL fq.safe_offset(b.id, b."offset", b.dispatched) AS s ("offset")
 CROSS JOIN LATERAL (SELECT min(o."offset") AS lowest, count(*) AS opened,
                            coalesce(bool_or(o.state = 'retrying'), false) AS retrying
                       FROM fq.open(b.id) o) d
 WHERE c.id = n.id
