-- Show the transactions that keep everybody from reading one of the bridge's tables. The oldest comes first.
--
-- Binds      none
-- Returns    table_name, and as blockers.sql: pid, application, role, client, state, age_seconds, query_start, query,
--            gid, prepared_at
-- Relies on  nothing; without pg_read_all_stats the sessions of other roles are nameless
SELECT 'fq.' || min(c.relname) AS table_name, l.pid, a.application_name AS application, CAST(a.usename AS text) AS role,
       host(a.client_addr) AS client, a.state,
       CAST(extract(epoch FROM clock_timestamp() - a.xact_start) AS double precision) AS age_seconds,
       a.query_start, a.query, CAST(NULL AS text) AS gid, CAST(NULL AS timestamptz) AS prepared_at
  FROM pg_locks l
  JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'v')
  JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'fq'
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 GROUP BY l.pid, a.application_name, a.usename, a.client_addr, a.state, a.xact_start, a.query_start, a.query
 ORDER BY a.xact_start NULLS LAST
