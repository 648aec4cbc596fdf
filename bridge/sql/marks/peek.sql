-- Read, without a lock, whether another process has compared a broker with this database a moment ago.
--
-- Binds      bridge   text
--            broker   text
--            seconds  double precision, how long ago at most
-- Returns    count; fine, whether it was compared with this very server, without trouble; started, of this server; no
--            row if it never was compared
-- Relies on  nothing
SELECT m.count,
       m.serving AND m.trouble IS NULL AND m.lost_at IS NULL AND NOT m.fresh
       AND m.server_started = pg_postmaster_start_time()
       AND extract(epoch FROM clock_timestamp() - m.seen_at) BETWEEN 0 AND CAST(:seconds AS double precision) AS fine,
       CAST(extract(epoch FROM pg_postmaster_start_time()) AS text) AS started
  FROM fq.marks m WHERE m.bridge = :bridge AND m.broker = :broker
