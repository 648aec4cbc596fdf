-- Leap over events that do not match a client's topics, up to the next one that does. The index of topics finds it,
-- where topics are so rare that walking through the log would take long.
--
-- Binds      client   text
--            after    bigint, what was looked through so far
--            horizon  bigint, the last event that may be looked at
--            filter   text, regular expression over '.' || topic
--            topics   integer, most different topics to look at
-- Returns    upto: the offset before the next event that matches, the horizon if there is none; no row if that is not
--            above `dispatched`, or if the log has more topics than may be looked at
-- Relies on  lock_client having run in this transaction
WITH topics AS MATERIALIZED (
    SELECT t.topic FROM fq.topics_in_log(:topics) AS t (topic)
), matching AS (
    -- Compare rows, to force the (topic, offset) index; otherwise Postgres scans the log for a rare topic.
    SELECT (SELECT CASE WHEN e.topic = t.topic THEN e."offset" END
              FROM (SELECT topic, "offset" FROM fq.events
                     WHERE (topic, "offset") > (t.topic, CAST(:after AS bigint))
                     ORDER BY topic, "offset" LIMIT 1) e) AS next
      FROM topics t
     WHERE '.' || t.topic ~ :filter
), found AS (
    SELECT least((SELECT min(next) - 1 FROM matching), :horizon) AS upto
     WHERE (SELECT count(topic) FROM topics) <= :topics
)
UPDATE fq.clients c SET dispatched = found.upto FROM found WHERE c.id = :client AND c.dispatched < found.upto
RETURNING found.upto
