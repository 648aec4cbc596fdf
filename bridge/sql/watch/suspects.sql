-- List the clients of a bridge that have deliveries whose outcome is awaited for some seconds, and the oldest of these.
-- A delivery whose message was found lost before is given twice as long each time. A client that reports in-process is
-- left out: its outcomes may wait in a worker, where nobody sees them.
--
-- Binds      bridge        text
--            seconds       double precision, how old a hand-over must be
--            most_seconds  double precision, the longest that it must be after losses
--            most          bigint, most deliveries of each client
-- Returns    id, queue, tasks (text[], all that its events go to), batch, max_attempts, offsets, epochs, attempts,
--            losses and tries (arrays, of each delivery), one row per client
-- Relies on  nothing
SELECT c.id, c.queue,
       ARRAY(SELECT c.task UNION SELECT r ->> 1 FROM jsonb_array_elements(c.routes) r) AS tasks, c.batch,
       c.max_attempts, d.offsets, d.epochs, d.attempts, d.losses, d.tries
  FROM fq.served s JOIN fq.clients c ON c.id = s.id
 CROSS JOIN LATERAL (
       SELECT array_agg(o."offset" ORDER BY o."offset") AS offsets, array_agg(o.epoch ORDER BY o."offset") AS epochs,
              array_agg(o.attempt ORDER BY o."offset") AS attempts,
              array_agg(coalesce(o.losses, 0) ORDER BY o."offset") AS losses,
              array_agg(o.attempt - o.earlier_attempts ORDER BY o."offset") AS tries
         FROM (SELECT * FROM fq.open(c.id) p
                WHERE p.state = 'sent' AND p.sent_at < now() - make_interval(secs => least(
                          CAST(:most_seconds AS double precision), c.ack_timeout_seconds,
                          CAST(:seconds AS double precision) * 2 ^ least(coalesce(p.losses, 0), 20)))
                ORDER BY p."offset" LIMIT :most) o) d
 WHERE s.bridge = :bridge AND c.report_by = 'callback' AND d.offsets IS NOT NULL
