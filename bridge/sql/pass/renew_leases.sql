-- Renew leases that have run out while the message may still have waited in its queue. This is no attempt, and nothing
-- is sent. A delivery that a handler has in its transaction is left out.
--
-- Binds      client   text
--            offsets  bigint[]
--            seconds  double precision[], until the next look at each, or the end of its lease
--            behinds  bigint[], how many deliveries behind it are out; NULL where it has left the queue
-- Returns    nothing
-- Relies on  look_at_leases having run in this transaction
WITH free AS MATERIALIZED (
    SELECT d."offset", r.seconds, r.behind
      FROM unnest(CAST(:offsets AS bigint[]), CAST(:seconds AS double precision[]), CAST(:behinds AS bigint[]))
           AS r ("offset", seconds, behind)
     CROSS JOIN LATERAL (  -- OFFSET 0 keeps the planner from joining in another way: see decision 14
           SELECT l."offset" FROM fq.deliveries l
            WHERE l.client_id = :client AND l."offset" = r."offset" AND l.state = 'sent' OFFSET 0
              FOR UPDATE SKIP LOCKED) d
)
UPDATE fq.deliveries d
   SET waited_at = now(), behind = f.behind, due_at = now() + make_interval(secs => f.seconds)
  FROM free f
 WHERE d.client_id = :client AND d."offset" = f."offset"
   AND d."offset" >= (SELECT min(b."offset") FROM free b) AND d."offset" <= (SELECT max(b."offset") FROM free b)
