-- Count the events that a replay would hand over: they match the client's topics and the replay's, and are not parked.
--
-- Binds      client  text
--            first   bigint
--            upto    bigint
--            topics  text[], or NULL for all of the client's
--            most    bigint, most events of the log to look at
-- Returns    events, exact: whether the whole range was looked at
-- Relies on  hold_client having run in this transaction
WITH looked AS MATERIALIZED (
    SELECT e."offset", e.topic FROM fq.events e
     WHERE e."offset" >= :first AND e."offset" <= :upto
     ORDER BY e."offset" LIMIT :most
)
SELECT count(*) FILTER (WHERE '.' || l.topic ~ (SELECT c.filter FROM fq.clients c WHERE c.id = :client)
                          AND '.' || l.topic ~ (SELECT coalesce(fq.topics_filter(CAST(:topics AS text[])), ''))
                          AND NOT EXISTS (SELECT FROM fq.parked p
                                           WHERE p.client_id = :client AND p."offset" = l."offset"))
           AS events,
       count(*) < :most AS exact
  FROM looked l
