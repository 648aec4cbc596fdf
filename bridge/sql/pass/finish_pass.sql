-- End a pass: move the cursor over what needed no delivery, count what went out, and say when to look again. What is due
-- and did not go waits for another event of its key or for its handler's transaction: that is looked at less often.
--
-- Binds      client     text
--            delivered  bigint, events handed over for the first time in this pass
--            hungry     boolean, whether more may be ready than this pass took
--            full       boolean, whether the window has no room left: a finished delivery wakes the client
--            within     double precision, seconds until a replay or a redrive must be looked at, or NULL
-- Returns    nothing
-- Relies on  lock_client having run in this transaction
UPDATE fq.clients c
   SET "offset" = s."offset", lowest = least(d.lowest, s."offset" + 1), delivered = c.delivered + :delivered, trouble = NULL,
       trouble_at = NULL, "full" = :full,
       wake_at = CASE WHEN :hungry THEN 'epoch'
                 ELSE least(d.wake_at, now() + make_interval(secs => CAST(:within AS double precision))) END
  FROM fq.clients b
 CROSS JOIN LATERAL fq.safe_offset(b.id, b."offset", b.dispatched) AS s ("offset")
 CROSS JOIN LATERAL (SELECT min(o."offset") AS lowest,
                            min(CASE WHEN o.due_at > now() THEN o.due_at ELSE now() + interval '1 second' END) AS wake_at
                       FROM fq.deliveries o WHERE o.client_id = b.id AND o."offset" >= b.lowest) d
 WHERE b.id = :client AND c.id = b.id
