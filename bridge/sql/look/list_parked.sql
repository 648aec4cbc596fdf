-- List parked events, the one that was set aside last first.
--
-- Binds      client       text, or NULL for all clients
--            keys         text[], or NULL
--            error_types  text[], or NULL
--            offsets      bigint[], or NULL
--            older        double precision, or NULL: only those parked for more than so many seconds
--            most         bigint
-- Returns    client_id, "offset", topic (NULL where the event was pruned), key, epoch, attempts, error_type, error,
--            traceback, host, runtime_seconds (of the last attempt), reason, held, redrive, first_at, parked_at
-- Relies on  nothing
SELECT p.client_id, p."offset", e.topic, p.key, p.epoch, p.attempts, p.error_type, p.error, p.traceback,
       p.failures -> -1 ->> 'host' AS host,
       CAST(p.failures -> -1 ->> 'runtime_seconds' AS double precision) AS runtime_seconds,
       p.reason, p.held, p.redrive, p.first_at, p.parked_at
  FROM fq.parked p LEFT JOIN fq.events e ON e."offset" = p."offset"
 WHERE (CAST(:client AS text) IS NULL OR p.client_id = :client)
   AND (CAST(:keys AS text[]) IS NULL OR p.key = ANY (CAST(:keys AS text[])))
   AND (CAST(:error_types AS text[]) IS NULL OR p.error_type = ANY (CAST(:error_types AS text[])))
   AND (CAST(:offsets AS bigint[]) IS NULL OR p."offset" = ANY (CAST(:offsets AS bigint[])))
   AND (CAST(:older AS double precision) IS NULL OR p.parked_at < now() - make_interval(secs => :older))
 ORDER BY p.parked_at DESC, p.client_id, p."offset" DESC LIMIT :most
