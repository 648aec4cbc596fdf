-- Count the events of a key, and those that are not erased yet.
--
-- Binds      key   text
--            upto  bigint, the last offset to look at
--            most  bigint, most events to look at
-- Returns    events, to_erase, exact: whether all were looked at
-- Relies on  nothing
WITH looked AS MATERIALIZED (
    SELECT fq.is_erased(e) AS erased FROM fq.events e
     WHERE e.key = :key AND e."offset" <= :upto ORDER BY e."offset" LIMIT :most
)
SELECT count(*) AS events, count(*) FILTER (WHERE NOT erased) AS to_erase, count(*) < :most AS exact FROM looked
