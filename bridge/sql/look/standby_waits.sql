-- Tell since when commits in this database wait for a synchronous standby: no time-out ends that, and no lock shows it.
--
-- Binds      seconds  double precision, how long a commit must have waited
-- Returns    seconds (of the oldest), commits (how many wait), names (synchronous_standby_names); no row if none does
-- Relies on  nothing; without pg_read_all_stats only the commits of this role are seen
SELECT CAST(max(extract(epoch FROM clock_timestamp() - a.query_start)) AS double precision) AS seconds,
       count(*) AS commits, current_setting('synchronous_standby_names') AS names
  FROM pg_stat_activity a
 WHERE a.wait_event = 'SyncRep' AND a.datname = current_database()
   AND a.query_start < clock_timestamp() - make_interval(secs => :seconds)
HAVING count(*) > 0
