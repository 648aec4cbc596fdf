-- Hand over again the deliveries whose message is lost, unless something has happened to them since the look. No
-- attempt is counted, unless it is time to: then their lease ends now, as if their message had left the queue late.
--
-- Binds      client    text
--            offsets   bigint[]
--            epochs    integer[], of each
--            attempts  integer[], of each
--            counts    boolean[], whether the attempt of each counts
--            noted     boolean[], whether the loss of each makes the next look at it later
--            wait      double precision, seconds until they go out again
-- Returns    "offset", epoch, attempt of each
-- Relies on  the client being locked in this transaction
WITH lost AS MATERIALIZED (
    SELECT d."offset", l.counts, l.noted
      FROM unnest(CAST(:offsets AS bigint[]), CAST(:epochs AS integer[]), CAST(:attempts AS integer[]),
                  CAST(:counts AS boolean[]), CAST(:noted AS boolean[])) AS l ("offset", epoch, attempt, counts, noted)
     CROSS JOIN LATERAL (  -- OFFSET 0 keeps the planner from joining in another way: see decision 14
           SELECT * FROM fq.deliveries f WHERE f.client_id = :client AND f."offset" = l."offset" OFFSET 0
              FOR UPDATE SKIP LOCKED) d
     WHERE d.epoch = l.epoch AND d.attempt = l.attempt AND d.state = 'sent'
), recalled AS (
    UPDATE fq.deliveries d
       SET state = CASE WHEN d."offset" IN (SELECT l."offset" FROM lost l WHERE l.counts) THEN d.state
                        ELSE 'retrying' END,
           earlier_attempts = d.earlier_attempts
               + CASE WHEN d."offset" IN (SELECT l."offset" FROM lost l WHERE l.counts) THEN 0 ELSE 1 END,
           losses = CASE WHEN d."offset" IN (SELECT l."offset" FROM lost l WHERE l.noted) THEN coalesce(d.losses, 0) + 1
                         ELSE d.losses END,
           waited_at = CASE WHEN d."offset" IN (SELECT l."offset" FROM lost l WHERE l.counts) THEN now() END,
           due_at = now() + make_interval(secs => :wait), behind = NULL
     WHERE d.client_id = :client AND d."offset" >= (SELECT min(l."offset") FROM lost l)
       AND d."offset" <= (SELECT max(l."offset") FROM lost l)
       AND (d."offset" IN (SELECT l."offset" FROM lost l)) IS TRUE  -- looked up: see decision 72
    RETURNING d."offset", d.epoch, d.attempt
), woken AS (
    UPDATE fq.clients c SET wake_at = fq.at_once(), recalled = c.recalled + (SELECT count(*) FROM recalled)
     WHERE c.id = :client AND EXISTS (SELECT FROM recalled)
)
SELECT "offset", epoch, attempt FROM recalled ORDER BY "offset"
