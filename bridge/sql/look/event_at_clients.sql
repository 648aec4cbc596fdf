-- Tell what the tables know of one event at each client. Discards are looked for in the last entries of its journal.
--
-- Binds      offset   bigint
--            topic    text, the event's, or NULL where it is not known
--            key      text, the event's, or NULL
--            entries  bigint, most entries of a client's journal to look at
-- Returns    client, is_reader, state, "offset", dispatched, counted_after, matches (NULL where the topic is unknown);
--            of the delivery epoch, attempt, delivery (its state), sent_at, due_at, error_type, error; of the parked
--            event reason, attempts, parked_at, parked_error_type, parked_error, redrive, held; lane (its key's next
--            event, where it waits), blocker (the event in the key's way), replay (in which it waits); discarded_at,
--            discarded_by
-- Relies on  nothing
SELECT c.id AS client, c.task IS NULL AS is_reader, c.state, c."offset", c.dispatched, c.counted_after,
       '.' || CAST(:topic AS text) ~ c.filter AS matches,
       d.epoch, d.attempt, d.state AS delivery, d.sent_at, d.due_at, d.error_type, d.error,
       p.reason, p.attempts, p.parked_at, p.error_type AS parked_error_type, p.error AS parked_error, p.redrive, p.held,
       l."offset" AS lane, b."offset" AS blocker, a.replay, j.at AS discarded_at, j.by AS discarded_by
  FROM fq.clients c
  LEFT JOIN LATERAL (SELECT o.* FROM fq.open(c.id) o WHERE o."offset" = :offset) d ON true
  LEFT JOIN fq.parked p ON p.client_id = c.id AND p."offset" = :offset
  LEFT JOIN fq.lanes l ON l.client_id = c.id AND l.key = CAST(:key AS text) AND l."offset" <= :offset
  LEFT JOIN LATERAL (
       SELECT o."offset" FROM fq.open(c.id) o WHERE o.key = l.key AND o."offset" < :offset
        UNION ALL
       SELECT h."offset" FROM fq.parked h
        WHERE h.client_id = c.id AND h.key = l.key AND h.held AND h."offset" < :offset
        ORDER BY 1 LIMIT 1) b ON true
 CROSS JOIN LATERAL (
       SELECT min(w.replay_id) AS replay FROM fq.aside w JOIN fq.replays r ON r.id = w.replay_id
        WHERE w.client_id = c.id AND (w."offset" = :offset
              OR w.lane AND w.key = CAST(:key AS text) AND :offset BETWEEN w."offset" AND r.next - 1)) a
  LEFT JOIN LATERAL (
       SELECT n.at, n.by
         FROM (SELECT * FROM fq.journal e WHERE e.client_id = c.id ORDER BY e.id DESC LIMIT :entries) n
        WHERE n.action = 'discard' AND n.details -> 'offsets' @> to_jsonb(CAST(:offset AS bigint))
        ORDER BY n.id DESC LIMIT 1) j ON true
 ORDER BY c.id
