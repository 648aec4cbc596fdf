-- End a pass: move the cursor past events that do not match, count what went out, and say when to look again. A
-- delivery that is due and did not go out waits for another event of its key, or for its handler's transaction. Their
-- end wakes the client; as a safety net, look again every second. Where the tokens of its rate are used up, it waits
-- for those.
--
-- Binds      client          text
--            delivered       bigint, hand-overs of this pass without retries: new, redriven and replayed events
--            retried         bigint, hand-overs of this pass that were not the first of their delivery
--            counted         bigint, those of events above `counted_after` that go out for the first time
--            counted_sum     numeric, the sum of their offsets
--            owed            bigint, those that were neither open nor parked before
--            owed_sum        numeric, the sum of their offsets
--            hungry          boolean, whether more may be ready than this pass took
--            full            boolean, whether the window has no room: the end of a delivery wakes the client then
--            within_seconds  double precision, when to look at a replay or a redrive at the latest, or NULL
--            tokens          double precision, what is left of its rate, or NULL without one
--            token_seconds   double precision, until enough tokens have come, or NULL where some are left
-- Returns    nothing
-- Relies on  lock_client having run in this transaction
UPDATE fq.clients c
   SET "offset" = s."offset", lowest = least(d.lowest, s."offset" + 1), delivered = c.delivered + :delivered,
       retried = c.retried + :retried,
       counted = c.counted + :counted, counted_sum = c.counted_sum + :counted_sum,
       owed = c.owed + :owed, owed_sum = c.owed_sum + :owed_sum,
       trouble = NULL, trouble_at = NULL, "full" = :full,
       tokens = CAST(:tokens AS double precision),
       tokens_at = CASE WHEN CAST(:tokens AS double precision) IS NOT NULL THEN now() END,
       wake_at = CASE WHEN :hungry THEN fq.at_once()
                 ELSE least(d.wake_at, now() + make_interval(secs => CAST(:within_seconds AS double precision))) END
  FROM fq.clients b
 CROSS JOIN LATERAL fq.safe_offset(b.id, b."offset", b.dispatched) AS s ("offset")
 CROSS JOIN LATERAL (SELECT min(o."offset") AS lowest,
                            min(CASE WHEN o.due_at > now() THEN o.due_at
                                     ELSE now() + greatest(interval '1 second', make_interval(
                                              secs => CAST(:token_seconds AS double precision))) END) AS wake_at
                       FROM fq.open(b.id) o) d
 WHERE b.id = :client AND c.id = b.id
