-- Write a mark that was compared: its next count, or the same one.
--
-- Binds      bridge      text
--            broker      text
--            broker_id   text, a uuid
--            count       bigint
--            nonce       text, a uuid
--            before      text, a uuid or NULL
--            fresh       boolean
--            offset      bigint
--            created_us  bigint, microseconds since 1970, or NULL
--            holder      text
-- Returns    nothing
-- Relies on  lock having run in this transaction
UPDATE fq.marks m
   SET broker_id = CAST(:broker_id AS uuid), count = :count, nonce = CAST(:nonce AS uuid),
       before = CAST(:before AS uuid), fresh = :fresh, "offset" = :offset,
       created_at = to_timestamp(0) + CAST(:created_us AS bigint) * interval '1 microsecond',
       holder = :holder, seen_at = clock_timestamp(), server_started = pg_postmaster_start_time(), serving = true,
       (system, timeline) = (SELECT coalesce(s.system, m.system), coalesce(s.timeline, m.timeline) FROM fq.server() s),
       trouble_kind = NULL, trouble = NULL, trouble_at = NULL
 WHERE m.bridge = :bridge AND m.broker = :broker
