-- Find the next events that nobody needs any more, among so many of the log.
--
-- Binds      after   bigint, the last offset that was looked at
--            upto    bigint, the last one that may be removed
--            before  timestamptz: only what was created earlier; NULL: any
--            most    bigint, most events to look at
--            bytes   bigint, most bytes that their payloads take in the log; one event may be more
-- Returns    offsets: those of the free events, in order; events: how many were looked at; young: how many of
--            those are too young, as others behind them will be, unlike behind those that say a time to come; last: the
--            last of them; more: whether there may be others behind it
-- Relies on  read_bounds having given `upto` in an earlier statement
WITH next AS MATERIALIZED (
    SELECT e."offset", e.created_at, pg_column_size(e.payload) AS bytes FROM fq.events e
     WHERE e."offset" > :after AND e."offset" <= :upto
     ORDER BY e."offset" LIMIT :most
), looked AS MATERIALIZED (
    SELECT s."offset", s.created_at
      FROM (SELECT n.*, sum(n.bytes) OVER (ORDER BY n."offset") - n.bytes AS before FROM next n) s
     WHERE s.before < CAST(:bytes AS bigint)
), held AS MATERIALIZED (
    SELECT h."offset" FROM fq.held_events h
     WHERE h."offset" BETWEEN (SELECT min("offset") FROM looked) AND (SELECT max("offset") FROM looked)
)
SELECT coalesce(array_agg(l."offset" ORDER BY l."offset")
                FILTER (WHERE (l.created_at < :before OR CAST(:before AS timestamptz) IS NULL)
                          AND l."offset" NOT IN (SELECT h."offset" FROM held h)), '{}') AS offsets,
       count(*) AS events, count(*) FILTER (WHERE l.created_at BETWEEN :before AND clock_timestamp()) AS young,
       max(l."offset") AS last,
       (SELECT count(*) = :most OR max(n."offset") > max(l."offset") FROM next n) AS more
  FROM looked l
