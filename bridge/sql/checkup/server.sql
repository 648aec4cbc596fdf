-- Tell what the server is, whether it takes writes, and what it does against a crash.
--
-- Binds      none
-- Returns    role, version, database, read_only, in_recovery, fsync, full_page_writes, synchronous_commit,
--            clock (seconds since 1970)
-- Relies on  nothing
SELECT CAST(current_user AS text) AS role, split_part(current_setting('server_version'), ' ', 1) AS version,
       CAST(current_database() AS text) AS database,
       current_setting('transaction_read_only') = 'on' AS read_only, pg_is_in_recovery() AS in_recovery,
       current_setting('fsync') = 'on' AS fsync, current_setting('full_page_writes') = 'on' AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       CAST(extract(epoch FROM clock_timestamp()) AS double precision) AS clock
