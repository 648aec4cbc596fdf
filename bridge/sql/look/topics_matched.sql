-- Tell whether the log has an event that matches a client's topics, by the index of topics.
--
-- Binds      client  text
--            topics  bigint, most different topics to look at
-- Returns    matched; NULL where the log is empty, or has more topics than may be looked at
-- Relies on  nothing
WITH RECURSIVE topics (topic, nth) AS (
    (SELECT topic, 1 FROM fq.events ORDER BY topic LIMIT 1)
     UNION ALL
    SELECT (SELECT e.topic FROM fq.events e WHERE e.topic > t.topic ORDER BY e.topic LIMIT 1), t.nth + 1
      FROM topics t
     WHERE t.topic IS NOT NULL AND t.nth <= :topics
)
SELECT CASE WHEN bool_or('.' || t.topic ~ c.filter) THEN true WHEN count(t.topic) BETWEEN 1 AND :topics THEN false END
       AS matched
  FROM topics t CROSS JOIN fq.clients c
 WHERE c.id = :client
