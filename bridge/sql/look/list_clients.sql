-- The settings of every client.
--
-- Binds      none
-- Returns    one row per client
-- Relies on  nothing
SELECT id, task, routes, queue, topics, ordering, "window", call, serializer, ack_timeout_seconds, max_attempts,
       backoff_seconds, backoff_max_seconds, on_exhausted, batch, batch_wait_ms, batch_as, report_by,
       state, "offset"
  FROM fq.clients ORDER BY id
