-- List the scheduled events, the one that is due next first.
--
-- Binds      most  bigint
-- Returns    number, due_at, topic, key, id, created_at, and in_seconds: how long until it is due
-- Relies on  nothing
SELECT number, due_at, topic, key, id, created_at,
       CAST(extract(epoch FROM due_at - clock_timestamp()) AS double precision) AS in_seconds
  FROM fq.scheduled ORDER BY coalesce(held_until, due_at), number LIMIT :most
