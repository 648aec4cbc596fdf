-- Turn AMQP topic patterns into one regular expression over '.' || topic. `*` is one word, `#` is any number of words:
-- 'order.*' matches order.created, and 'order.#' matches order and order.item.added too. `#` alone matches all topics:
-- for it the expression is one that ends at a topic's beginning.
CREATE FUNCTION fq.topics_filter(patterns text[]) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC
    SELECT CASE WHEN '#' = ANY (patterns) THEN '^' ELSE '^(' || string_agg(
        (SELECT string_agg(CASE word WHEN '#' THEN '(\.[^.]+)*' WHEN '*' THEN '\.[^.]+'
                           ELSE '\.' || regexp_replace(word, '([^[:alnum:]_])', '\\\1', 'g') END, '' ORDER BY nth)
           FROM regexp_split_to_table(pattern, '\.') WITH ORDINALITY AS words (word, nth)),
        '|' ORDER BY pattern) || ')$' END
      FROM unnest(patterns) AS pattern;
END;

-- Tell whether this is a list of topic patterns with at least one pattern in it.
CREATE FUNCTION fq.topics_valid(patterns text[]) RETURNS boolean LANGUAGE sql IMMUTABLE BEGIN ATOMIC
    SELECT cardinality(patterns) > 0 AND array_position(patterns, NULL) IS NULL
       AND bool_and(pattern COLLATE "C" ~ '^(\*|#|[^.*#[:space:]]+)(\.(\*|#|[^.*#[:space:]]+))*$')
      FROM unnest(patterns) AS pattern;
END;

-- List the different topics of the log, by the index of topics: two probes for each. Where there are more than may be
-- listed, there is one more than that.
CREATE FUNCTION fq.topics_in_log(most bigint) RETURNS SETOF text LANGUAGE sql STABLE BEGIN ATOMIC
    WITH RECURSIVE topics (topic, nth) AS (
        (SELECT e.topic, 1 FROM fq.events e ORDER BY e.topic LIMIT 1)
         UNION ALL
        SELECT (SELECT e.topic FROM fq.events e WHERE e.topic > t.topic ORDER BY e.topic LIMIT 1), t.nth + 1
          FROM topics t
         WHERE t.topic IS NOT NULL AND t.nth <= most
    )
    SELECT t.topic FROM topics t WHERE t.topic IS NOT NULL;
END;
