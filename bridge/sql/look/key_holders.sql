-- Find what clients hold of a key: messages that are out, and texts that attempts have left.
--
-- Binds      key   text
--            upto  bigint, the last offset to look at
-- Returns    client, in_flight: open deliveries whose message is out, texts: parked events and deliveries that have an
--            error's text; only of clients that hold any
-- Relies on  nothing
SELECT c.id AS client, d.in_flight, d.texts + p.texts AS texts
  FROM fq.clients c
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE o.state <> 'retrying') AS in_flight,
              count(*) FILTER (WHERE o.error <> 'erased' OR o.traceback <> 'erased'
                                OR fq.failures_quote(o.failures)) AS texts
         FROM fq.open(c.id) o WHERE o.key = :key AND o."offset" <= :upto) d
 CROSS JOIN LATERAL (
       SELECT count(*) AS texts FROM fq.parked q
        WHERE q.client_id = c.id AND q.key = :key AND q."offset" <= :upto
          AND (q.error <> 'erased' OR q.traceback <> 'erased' OR fq.failures_quote(q.failures)
               OR starts_with(q.reason, 'undeliverable: ') AND q.reason <> 'undeliverable: erased')) p
 WHERE c.task IS NOT NULL AND (d.in_flight > 0 OR d.texts + p.texts > 0)
 ORDER BY c.id
