-- Tell what one row can say about where a client stands.
--
-- Binds      client  text
--            most    bigint, most events of the log to look at
-- Returns    client, bridge, task, tasks (all that its events go to), queue, topics, batch, state, state_reason,
--            state_by, state_at, report_by, ordering, window (1 where the order is strict), offset, dispatched,
--            max_attempts, trouble, trouble_at, horizon, drawn, pump_silent_seconds (since a pump was last at work;
--            negative while one lingers, NULL if none ever was), read_only, in_recovery, clock_ahead_seconds and
--            clock_host (of the pumps' host that differs most, NULL if none told), open, awaited (those handed over
--            more than five seconds ago), retrying, parked, held, redriving, waiting (keys), unread (matching events
--            above dispatched, at most as many as were looked at), unread_seconds (age of the oldest of them), rate,
--            tokens (NULL without a rate), token_seconds (until they are enough for a pass, 0 if they are), ready (keys
--            whose next event may go out), scheduled_late_seconds (since when the first scheduled event is due that is
--            not in the log; NULL or negative where none is), scheduled_held (whether Postgres refused it); no row if
--            there is no such client
-- Relies on  nothing
SELECT c.id AS client, c.bridge, c.task,
       ARRAY(SELECT c.task UNION SELECT r ->> 1 FROM jsonb_array_elements(c.routes) r) AS tasks,
       c.queue, c.topics, c.batch, c.state, c.state_reason, c.state_by, c.state_at, c.report_by, c.ordering,
       fq.window_of(c) AS "window",
       c."offset", c.dispatched, c.max_attempts, c.trouble, c.trouble_at, h."offset" AS horizon,
       -- A standby's sequence is ahead of the log: the primary writes down 32 offsets at a time before they are drawn.
       CASE WHEN pg_is_in_recovery() THEN h."offset" ELSE fq.last_drawn() END AS drawn,
       (SELECT CAST(extract(epoch FROM clock_timestamp() - max(t.expires_at)) AS double precision)
          FROM fq.turns t WHERE t.bridge = c.bridge AND t.name IN ('linger', 'tick')) AS pump_silent_seconds,
       current_setting('transaction_read_only') = 'on' AS read_only, pg_is_in_recovery() AS in_recovery,
       tick.clock_ahead_seconds, tick.holder AS clock_host,
       d.open, d.awaited, d.retrying, p.parked, p.held, p.redriving,
       (SELECT count(*) FROM fq.lanes l WHERE l.client_id = c.id) AS waiting,
       u.events AS unread,
       CAST(extract(epoch FROM clock_timestamp() - u.oldest) AS double precision) AS unread_seconds,
       c.rate, CASE WHEN c.rate <> '' THEN fq.tokens_of(c, clock_timestamp()) END AS tokens,
       CASE WHEN c.rate <> '' THEN greatest(
            0, (fq.enough_tokens(c) - fq.tokens_of(c, clock_timestamp())) / fq.rate_of(c)) END AS token_seconds,
       (SELECT count(*) FROM fq.lanes l WHERE l.client_id = c.id AND l.ready) AS ready,
       CAST(extract(epoch FROM clock_timestamp() - s.due_at) AS double precision) AS scheduled_late_seconds,
       coalesce(s.held_until IS NOT NULL, false) AS scheduled_held
  FROM fq.clients c
  LEFT JOIN (SELECT e.due_at, e.held_until FROM fq.scheduled e
              ORDER BY coalesce(e.held_until, e.due_at), e.number LIMIT 1) s ON true
 CROSS JOIN fq.horizon h
  LEFT JOIN fq.turns tick ON tick.bridge = c.bridge AND tick.name = 'tick'
 CROSS JOIN LATERAL (SELECT count(*) AS open, count(*) FILTER (WHERE state = 'retrying') AS retrying,
                            count(*) FILTER (WHERE state = 'sent' AND sent_at < now() - interval '5 seconds') AS awaited
                       FROM fq.open(c.id)) d
 CROSS JOIN LATERAL (SELECT count(*) AS parked, count(*) FILTER (WHERE held) AS held,
                            count(*) FILTER (WHERE redrive) AS redriving
                       FROM fq.parked WHERE client_id = c.id) p
 CROSS JOIN LATERAL (SELECT count(*) AS events, min(created_at) AS oldest FROM (
                        SELECT e.created_at, e.topic FROM fq.events e
                         WHERE e."offset" > c.dispatched ORDER BY e."offset" LIMIT :most) young
                      WHERE '.' || young.topic ~ c.filter) u
 WHERE c.id = :client
