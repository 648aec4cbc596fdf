-- Show the transactions that may keep others from what they want of the bridge's tables: those that hold more than
-- reading takes. The oldest comes first.
--
-- Binds      seconds  double precision, since when a transaction must be open
--            most     bigint
-- Returns    table_name, and as blockers.sql: pid, application, role, client, state, age_seconds, query_start, query,
--            gid, prepared_at; and transaction, the virtual one, which is the same as long as it is open
-- Relies on  nothing; without pg_read_all_stats the sessions of other roles have no age: they are shown unless they are
--            the bridge's
SELECT 'fq.' || min(c.relname) AS table_name, a.pid, a.application_name AS application,
       coalesce(CAST(a.usename AS text), CAST(x.owner AS text)) AS role, host(a.client_addr) AS client, a.state,
       CAST(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, x.prepared)) AS double precision)
           AS age_seconds,
       a.query_start, left(a.query, 1000) AS query, x.gid, x.prepared AS prepared_at,
       l.virtualtransaction AS transaction
  FROM pg_locks l
  JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p')
  JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'fq'
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_prepared_xacts x ON l.pid IS NULL AND l.virtualtransaction = '-1/' || CAST(x.transaction AS text)
 WHERE l.locktype = 'relation' AND l.mode <> 'AccessShareLock' AND l.granted
   AND l.pid IS DISTINCT FROM pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND coalesce(clock_timestamp() - coalesce(a.xact_start, x.prepared) > make_interval(secs => :seconds),
                a.application_name NOT LIKE 'celery-event-bridge%')
 GROUP BY l.virtualtransaction, a.pid, a.application_name, a.usename, x.owner, a.client_addr, a.state, a.xact_start,
          x.prepared, a.query_start, a.query, x.gid
 ORDER BY coalesce(a.xact_start, x.prepared)
 LIMIT :most
