-- Lock the clients whose outcomes are about to be settled, and wait for the passes that hold them. From here on the
-- transaction reads no table as a whole.
--
-- Binds      clients  text[]
--            lock_ms  text, milliseconds to wait for a lock, in this whole transaction; NULL: as the session does
-- Returns    id, max_attempts, backoff_seconds, backoff_max_seconds and verdict (on an event without attempts left) of
--            each, in the order of the locks; the log's generation, which stays the same until the transaction ends
-- Relies on  a transaction. All lock in the order of ids, so that no two wait for each other. What begins a generation
--            locks all of the table: this statement has the table before it looks at the log
SELECT c.id, c.max_attempts, c.backoff_seconds, c.backoff_max_seconds, fq.verdict(c) AS verdict,
       (SELECT cardinality(l.starts) FROM fq.log l) AS generation
  FROM fq.clients c CROSS JOIN fq.without_table_scans()
 CROSS JOIN set_config('lock_timeout', coalesce(CAST(:lock_ms AS text), current_setting('lock_timeout')), true)
 WHERE c.id = ANY (:clients) AND c.task IS NOT NULL
 ORDER BY c.id
   FOR NO KEY UPDATE OF c
