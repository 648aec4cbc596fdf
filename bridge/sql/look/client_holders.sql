-- Show the transaction that has held a client's row for so long that passes and outcomes leave it alone. The bridge's
-- own are over within milliseconds.
--
-- Binds      client   text
--            seconds  double precision, since when a transaction must be open
-- Returns    as horizon_holders does; no row where the client can be had
-- Relies on  nothing; without pg_read_all_stats the sessions of other roles have no age: they are shown unless they are
--            the bridge's
SELECT a.pid, a.application_name AS application, coalesce(CAST(a.usename AS text), CAST(x.owner AS text)) AS role,
       host(a.client_addr) AS client, a.state,
       CAST(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, x.prepared)) AS double precision)
           AS age_seconds,
       a.query_start, left(a.query, 1000) AS query, x.gid, x.prepared AS prepared_at
  FROM (SELECT c.xmax AS holder FROM fq.clients c WHERE c.id = :client AND c.xmax <> CAST('0' AS xid)) h
  JOIN pg_locks t ON t.locktype = 'transactionid' AND t.mode = 'ExclusiveLock' AND t.granted
   AND t.transactionid = h.holder
  LEFT JOIN pg_stat_activity a ON a.pid = t.pid
  LEFT JOIN pg_prepared_xacts x ON x.transaction = h.holder
 WHERE coalesce(clock_timestamp() - coalesce(a.xact_start, x.prepared) > make_interval(secs => :seconds),
                a.application_name NOT LIKE 'celery-event-bridge%')
