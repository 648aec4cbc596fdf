-- List the topics of the log that match, by the index of topics.
--
-- Binds      topics  text, regular expression over '.' || topic
--            also    text, another one that must match too
--            looked  integer, most different topics to look at
--            most    integer, most topics to list
-- Returns    names: text[]; NULL where there are more, or the log has more topics than may be looked at
-- Relies on  nothing
SELECT CASE WHEN count(t.topic) <= :looked AND count(t.topic) FILTER (WHERE m.matches) <= :most
            THEN coalesce(array_agg(t.topic) FILTER (WHERE m.matches), '{}') END AS names
  FROM fq.topics_in_log(:looked) AS t (topic)
 CROSS JOIN LATERAL (SELECT '.' || t.topic ~ :topics AND '.' || t.topic ~ :also AS matches) m
