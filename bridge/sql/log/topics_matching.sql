-- List the topics of the log that match, by the index of topics.
--
-- Binds      topics  text, regular expression over '.' || topic
--            also    text, another one that must match too
--            looked  integer, most different topics to look at
--            most    integer, most topics to list
-- Returns    names: text[]; NULL where there are more, or the log has more topics than may be looked at
-- Relies on  nothing
WITH RECURSIVE topics (topic, nth) AS (
    (SELECT topic, 1 FROM fq.events ORDER BY topic LIMIT 1)
     UNION ALL
    SELECT (SELECT e.topic FROM fq.events e WHERE e.topic > t.topic ORDER BY e.topic LIMIT 1), t.nth + 1
      FROM topics t
     WHERE t.topic IS NOT NULL AND t.nth <= :looked
)
SELECT CASE WHEN count(t.topic) <= :looked AND count(t.topic) FILTER (WHERE m.matches) <= :most
            THEN coalesce(array_agg(t.topic) FILTER (WHERE m.matches), '{}') END AS names
  FROM topics t CROSS JOIN LATERAL (SELECT '.' || t.topic ~ :topics AND '.' || t.topic ~ :also AS matches) m
