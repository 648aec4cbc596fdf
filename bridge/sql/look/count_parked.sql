-- Count a client's parked events that fit.
--
-- Binds      client       text
--            keys         text[], or NULL
--            error_types  text[], or NULL
--            offsets      bigint[], or NULL
--            older        double precision, or NULL: only those parked for more than so many seconds
-- Returns    the number
-- Relies on  nothing
SELECT count(*) FROM fq.parked p
 WHERE p.client_id = :client
   AND (CAST(:keys AS text[]) IS NULL OR p.key = ANY (CAST(:keys AS text[])))
   AND (CAST(:error_types AS text[]) IS NULL OR p.error_type = ANY (CAST(:error_types AS text[])))
   AND (CAST(:offsets AS bigint[]) IS NULL OR p."offset" = ANY (CAST(:offsets AS bigint[])))
   AND (CAST(:older AS double precision) IS NULL OR p.parked_at < now() - make_interval(secs => :older))
