-- Show the transactions that keep everybody from reading one of the bridge's tables. The oldest comes first. A lock of
-- the whole table that is waited for keeps everybody behind it, too: then it is those that it waits for.
--
-- Binds      none
-- Returns    table_name; queued, whether a lock waits for it; and as blockers.sql: pid, application, role, client,
--            state, age_seconds, query_start, query, gid, prepared_at
-- Relies on  nothing; without pg_read_all_stats the sessions of other roles are nameless
SELECT 'fq.' || min(c.relname) AS table_name, h.queued, h.pid, a.application_name AS application,
       CAST(a.usename AS text) AS role, host(a.client_addr) AS client, a.state,
       CAST(extract(epoch FROM clock_timestamp() - a.xact_start) AS double precision) AS age_seconds,
       a.query_start, a.query, CAST(NULL AS text) AS gid, CAST(NULL AS timestamptz) AS prepared_at
  FROM pg_locks l
  JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'v')
  JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'fq'
 CROSS JOIN LATERAL (SELECT l.pid, false AS queued WHERE l.granted
                     UNION ALL
                     SELECT b.pid, true FROM unnest(pg_blocking_pids(l.pid)) AS b (pid)
                      WHERE NOT l.granted AND b.pid <> 0) AS h
  LEFT JOIN pg_stat_activity a ON a.pid = h.pid
 WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 GROUP BY h.queued, h.pid, a.application_name, a.usename, a.client_addr, a.state, a.xact_start, a.query_start, a.query
 ORDER BY a.xact_start NULLS LAST
