-- Count the events of a slice of the log, and those that match. Topics are compared with the filter once each.
--
-- Binds      after   bigint
--            upto    bigint, the last event to look at
--            slice   bigint, most events to look at
--            filter  text, regular expression over '.' || topic
-- Returns    events, matching, total: the sum of the offsets of those that match, last: the last offset looked at, NULL
--            where there was no event
-- Relies on  what is looked at being final
SELECT coalesce(sum(t.events), 0) AS events, coalesce(sum(t.events) FILTER (WHERE t.matches), 0) AS matching,
       coalesce(sum(t.total) FILTER (WHERE t.matches), 0) AS total, max(t.last) AS last
  FROM (SELECT count(*) AS events, sum(e."offset") AS total, max(e."offset") AS last,
               '.' || e.topic ~ :filter AS matches
          FROM (SELECT topic, "offset" FROM fq.events WHERE "offset" > :after AND "offset" <= :upto
                 ORDER BY "offset" LIMIT :slice) e
         GROUP BY e.topic) t
