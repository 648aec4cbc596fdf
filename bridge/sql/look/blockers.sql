-- Show the transactions of others that sessions of the bridge have waited for during more than a second, and those that
-- have locked the horizon's row, which then does not move. The oldest comes first.
--
-- Binds      none
-- Returns    pid (NULL for a prepared transaction), application, role, client (its address), state, age_seconds (of the
--            transaction), query_start, query, gid and prepared_at (always NULL)
-- Relies on  nothing; without pg_read_all_stats the sessions of other roles have no age, state and query
SELECT DISTINCT ON (age_seconds, pid)
       nullif(waits.pid, 0) AS pid, b.application_name AS application, CAST(b.usename AS text) AS role,
       host(b.client_addr) AS client, b.state,
       CAST(extract(epoch FROM clock_timestamp() - b.xact_start) AS double precision) AS age_seconds,
       b.query_start, b.query, CAST(NULL AS text) AS gid, CAST(NULL AS timestamptz) AS prepared_at
  FROM (SELECT unnest(pg_blocking_pids(w.pid)) AS pid FROM pg_locks l JOIN pg_stat_activity w ON w.pid = l.pid
         WHERE NOT l.granted AND l.waitstart < clock_timestamp() - interval '1 second'
           AND w.datname = current_database()
           AND w.application_name LIKE 'celery-event-bridge%' AND w.application_name NOT LIKE '% handler'
         UNION
        SELECT l.pid FROM pg_locks l JOIN pg_stat_activity o ON o.pid = l.pid
         WHERE l.locktype = 'relation' AND l.granted
           AND l.relation = (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                              WHERE n.nspname = 'fq' AND c.relname = 'horizon')
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND l.mode <> 'AccessShareLock'
           AND (o.xact_start < clock_timestamp() - interval '1 second') IS NOT FALSE) waits
  LEFT JOIN pg_stat_activity b ON b.pid = waits.pid
 WHERE (b.application_name LIKE 'celery-event-bridge%') IS NOT TRUE
 ORDER BY age_seconds DESC NULLS LAST, pid
