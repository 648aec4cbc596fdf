-- Lock those of these clients that can be had at once. From here on the transaction reads no table as a whole.
--
-- Binds      clients  text[]
--            lock_ms  text, milliseconds to wait for any other lock in this transaction
-- Returns    as lock_clients does
-- Relies on  a transaction
SELECT c.id, c.max_attempts, c.backoff_seconds, c.backoff_max_seconds, fq.verdict(c) AS verdict,
       (SELECT cardinality(l.starts) FROM fq.log l) AS generation
  FROM fq.clients c CROSS JOIN fq.without_table_scans()
 CROSS JOIN set_config('lock_timeout', CAST(:lock_ms AS text), true)
 WHERE c.id = ANY (:clients) AND c.task IS NOT NULL
 ORDER BY c.id
   FOR NO KEY UPDATE OF c SKIP LOCKED
