-- Take one client for a pass, unless another pump has it or it is not served. From here on the transaction reads no table as a
-- whole: see decision 14.
--
-- Binds      client  text
-- Returns    the client's settings, cursors, epoch, filter and state; no row if it is taken
-- Relies on  a transaction: the lock ends with it
SELECT c.id, c.task, c.routes, c.queue, c.topics, c.ordering, c."window", c.call, c.serializer, c.ack_timeout_seconds,
       c.max_attempts, c.backoff_seconds, c.backoff_max_seconds, c.on_exhausted, c.batch, c.batch_wait_ms, c.batch_as,
       c.report_by,
       c."offset", c.dispatched, c.epoch, c.filter, c.state
  FROM fq.clients c JOIN fq.served s ON s.id = c.id
 WHERE c.id = :client AND set_config('enable_seqscan', 'off', true) || set_config('jit', 'off', true) <> ''
   FOR NO KEY UPDATE OF c SKIP LOCKED
