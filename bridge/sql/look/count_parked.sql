-- Count a client's parked events that fit.
--
-- Binds      client       text
--            keys         text[], or NULL
--            error_types  text[], or NULL
--            offsets      bigint[], or NULL
-- Returns    the number
-- Relies on  nothing
SELECT count(*) FROM fq.parked p
 WHERE p.client_id = :client
   AND (CAST(:keys AS text[]) IS NULL OR p.key = ANY (CAST(:keys AS text[])))
   AND (CAST(:error_types AS text[]) IS NULL OR p.error_type = ANY (CAST(:error_types AS text[])))
   AND (CAST(:offsets AS bigint[]) IS NULL OR p."offset" = ANY (CAST(:offsets AS bigint[])))
