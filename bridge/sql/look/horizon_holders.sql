-- Show the transactions that have written events and not ended: the horizon waits for them. The oldest comes first.
--
-- Binds      none
-- Returns    pid (NULL for a prepared transaction), application, role, client (its address), state, age_seconds (of the
--            transaction), query_start, query, gid and prepared_at of a prepared one
-- Relies on  nothing; without pg_read_all_stats the sessions of other roles are nameless
SELECT h.pid, a.application_name AS application, coalesce(CAST(a.usename AS text), CAST(x.owner AS text)) AS role,
       host(a.client_addr) AS client, a.state,
       CAST(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, x.prepared)) AS double precision)
           AS age_seconds,
       a.query_start, a.query, x.gid, x.prepared AS prepared_at
  FROM fq.holding() h
  LEFT JOIN pg_stat_activity a ON a.pid = h.pid
  LEFT JOIN pg_locks t ON h.pid IS NULL AND t.pid IS NULL AND t.virtualtransaction = h.virtualtransaction
   AND t.locktype = 'transactionid' AND t.mode = 'ExclusiveLock'
  LEFT JOIN pg_prepared_xacts x ON x.transaction = t.transactionid
 ORDER BY coalesce(a.xact_start, x.prepared)
