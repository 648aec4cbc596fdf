-- The settings of a client, locked so that two registrations do not mix.
--
-- Binds      client  text
-- Returns    settings, "offset"; no row if there is no such client; task is NULL for a plain SQL reader
-- Relies on  a transaction
SELECT task, routes, queue, topics, ordering, "window", call, serializer, ack_timeout_seconds, max_attempts, backoff_seconds,
       backoff_max_seconds, on_exhausted, batch, batch_wait_ms, batch_as, report_by,
       "offset"
  FROM fq.clients WHERE id = :client
   FOR NO KEY UPDATE
