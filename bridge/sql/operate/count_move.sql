-- Count what moving a client's cursor would do to the events that match its topics.
--
-- Binds      client  text
--            target  bigint, where the cursor is to stand
--            most    bigint, most events of the log to look at
-- Returns    again: events handed over before, which would be handed over once more; passed_over: events not finished,
--            which would never be handed over; exact: whether the whole way was looked at
-- Relies on  hold_client having run in this transaction
WITH moving AS MATERIALIZED (
    SELECT c.id, c."offset", c.dispatched, c.filter,
           least(c."offset", :target) AS low, greatest(c.dispatched, :target) AS high
      FROM fq.clients c WHERE c.id = :client
), looked AS MATERIALIZED (
    SELECT e."offset", e.key, e.topic FROM fq.events e
     WHERE e."offset" > (SELECT low FROM moving) AND e."offset" <= (SELECT high FROM moving)
     ORDER BY e."offset" LIMIT :most
), told AS (
    SELECT l."offset" > :target AS comes, l."offset" <= m."offset" AS done,
           l."offset" > m.dispatched
           OR EXISTS (SELECT FROM fq.lanes w WHERE w.client_id = m.id AND w.key = l.key AND w."offset" <= l."offset")
              AS unsent,
           l."offset" IN (SELECT d."offset" FROM fq.open(:client) d WHERE d.state <> 'done') AS open
      FROM looked l CROSS JOIN moving m
     WHERE '.' || l.topic ~ m.filter
)
SELECT count(*) FILTER (WHERE comes AND NOT unsent) AS again,
       count(*) FILTER (WHERE NOT comes AND NOT done AND (unsent OR open)) AS passed_over,
       (SELECT count(*) FROM looked) < :most AS exact
  FROM told
