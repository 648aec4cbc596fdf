-- Tell whether the log has an event that matches a client's topics, by the index of topics.
--
-- Binds      client  text
--            topics  bigint, most different topics to look at
-- Returns    matched; NULL where the log is empty, or has more topics than may be looked at
-- Relies on  nothing
SELECT CASE WHEN bool_or('.' || t.topic ~ c.filter) THEN true WHEN count(t.topic) BETWEEN 1 AND :topics THEN false END
       AS matched
  FROM fq.topics_in_log(:topics) AS t (topic) CROSS JOIN fq.clients c
 WHERE c.id = :client
