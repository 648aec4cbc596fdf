-- Lock the clients whose outcomes are about to be settled, waiting for the passes that hold them. From here on the transaction
-- reads no table as a whole: see decision 14.
--
-- Binds      clients  text[]
-- Returns    id, ordering and retry policy of each, in the order of the locks
-- Relies on  a transaction; everybody locks in the order of ids, so that nobody waits in a circle
SELECT id, ordering, max_attempts, backoff_seconds, backoff_max_seconds, on_exhausted
  FROM fq.clients
 WHERE id = ANY (:clients) AND task IS NOT NULL AND set_config('enable_seqscan', 'off', true) || set_config('jit', 'off', true) <> ''
 ORDER BY id
   FOR NO KEY UPDATE
