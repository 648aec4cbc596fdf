-- Lock all marks of a bridge, so that one process at a time compares, and read them.
--
-- Binds      bridge   text
--            lock_ms  text, milliseconds to wait
-- Returns    broker, broker_id, count, nonce, before, fresh, system, timeline, "offset", created_us (microseconds
--            since 1970), holder, serving, seen_seconds ago, lost_at, trouble of each, in the order of brokers
-- Relies on  add having run before this transaction
SELECT m.broker, CAST(m.broker_id AS text) AS broker_id, m.count, CAST(m.nonce AS text) AS nonce,
       CAST(m.before AS text) AS before, m.fresh, m.system, m.timeline, m."offset",
       CAST(extract(epoch FROM m.created_at) * 1000000 AS bigint) AS created_us, m.holder, m.serving,
       CAST(extract(epoch FROM clock_timestamp() - m.seen_at) AS double precision) AS seen_seconds, m.lost_at, m.trouble
  FROM fq.marks m CROSS JOIN set_config('lock_timeout', CAST(:lock_ms AS text), true)
 WHERE m.bridge = :bridge
 ORDER BY m.broker
   FOR UPDATE OF m
