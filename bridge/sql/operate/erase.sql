-- Erase the next events of a key: their payloads and headers are replaced, and nothing else of them changes.
--
-- Binds      key    text
--            after  bigint, the last offset that is not wanted
--            upto   bigint, the last one that is
--            most   bigint, most events to look at
-- Returns    last: the highest offset that was looked at, NULL if there is none; erased: how many had content
-- Relies on  nothing: a row that another transaction erases or deletes meanwhile is waited for
WITH looked AS MATERIALIZED (
    SELECT e."offset", NOT fq.is_erased(e) AS has_content FROM fq.events e
     WHERE e.key = :key AND e."offset" > :after AND e."offset" <= :upto
     ORDER BY e."offset" LIMIT :most
       FOR NO KEY UPDATE
), erased AS (
    UPDATE fq.events e SET payload = fq.erased(), headers = '{}'
      FROM looked l WHERE e."offset" = l."offset" AND l.has_content
    RETURNING e."offset"
)
SELECT max(l."offset") AS last, (SELECT count(*) FROM erased) AS erased FROM looked l
