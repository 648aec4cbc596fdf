-- List the topics of the log, by the index of topics.
--
-- Binds      most  bigint, most topics
-- Returns    topic
-- Relies on  nothing
WITH RECURSIVE topics (topic, nth) AS (
    (SELECT topic, 1 FROM fq.events ORDER BY topic LIMIT 1)
     UNION ALL
    SELECT (SELECT e.topic FROM fq.events e WHERE e.topic > t.topic ORDER BY e.topic LIMIT 1), t.nth + 1
      FROM topics t
     WHERE t.topic IS NOT NULL AND t.nth < :most
)
SELECT topic FROM topics WHERE topic IS NOT NULL
