-- Take one client for a pass, unless another pump has it or it is not active.
--
-- Binds      client  text
-- Returns    the client's settings, cursors, epoch and filter, whether it is to be woken; no row if it is taken
-- Relies on  a transaction: the lock ends with it
SELECT id, task, routes, queue, topics, ordering, "window", call, serializer, ack_timeout_seconds, max_attempts,
       backoff_seconds, backoff_max_seconds, on_exhausted, "offset", dispatched, epoch, filter, coalesce(wake_at <= now(), false) AS woken
  FROM fq.clients
 WHERE id = :client AND task IS NOT NULL AND state = 'active'
   FOR NO KEY UPDATE SKIP LOCKED
