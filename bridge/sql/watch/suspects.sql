-- List the clients of a bridge that have deliveries whose outcome is awaited for a moment, and the oldest of these.
--
-- Binds      bridge   text
--            seconds  double precision, how old a hand-over must be
--            most     bigint, most deliveries of each client
-- Returns    id, queue, tasks (text[], all that its events go to), batch, max_attempts, in_process (whether outcomes
--            may wait in a worker, where nobody sees them), ack_timeout_seconds, offsets, epochs, attempts, losses,
--            tries and ages (arrays, of each delivery; ages in seconds), one row per client
-- Relies on  nothing
SELECT c.id, c.queue,
       ARRAY(SELECT c.task UNION SELECT r ->> 1 FROM jsonb_array_elements(c.routes) r) AS tasks, c.batch,
       c.max_attempts, c.report_by <> 'callback' AS in_process, c.ack_timeout_seconds,
       d.offsets, d.epochs, d.attempts, d.losses, d.tries, d.ages
  FROM fq.served s JOIN fq.clients c ON c.id = s.id
 CROSS JOIN LATERAL (
       SELECT array_agg(o."offset" ORDER BY o."offset") AS offsets, array_agg(o.epoch ORDER BY o."offset") AS epochs,
              array_agg(o.attempt ORDER BY o."offset") AS attempts,
              array_agg(coalesce(o.losses, 0) ORDER BY o."offset") AS losses,
              array_agg(o.attempt - o.earlier_attempts ORDER BY o."offset") AS tries,
              array_agg(CAST(extract(epoch FROM now() - o.sent_at) AS double precision) ORDER BY o."offset") AS ages
         FROM (SELECT * FROM fq.open(c.id) p
                WHERE p.state = 'sent' AND p.sent_at < now() - make_interval(secs => :seconds)
                ORDER BY p."offset" LIMIT :most) o) d
 WHERE s.bridge = :bridge AND d.offsets IS NOT NULL
