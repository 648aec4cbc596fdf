-- Let parked events go out again, as soon as the window has room and their key is free, and wake the client. An event
-- that was pruned from the log can't go out, and stays parked.
--
-- Binds      client       text
--            keys         text[], or NULL
--            error_types  text[], or NULL
--            offsets      bigint[], or NULL
--            older        double precision, or NULL: only those parked for more than so many seconds
-- Returns    "offset" of each
-- Relies on  hold_client having run in this transaction
WITH chosen AS (
    UPDATE fq.parked p SET redrive = true
     WHERE p.client_id = :client AND NOT p.redrive
       AND (CAST(:keys AS text[]) IS NULL OR p.key = ANY (CAST(:keys AS text[])))
       AND (CAST(:error_types AS text[]) IS NULL OR p.error_type = ANY (CAST(:error_types AS text[])))
       AND (CAST(:offsets AS bigint[]) IS NULL OR p."offset" = ANY (CAST(:offsets AS bigint[])))
       AND (CAST(:older AS double precision) IS NULL OR p.parked_at < now() - make_interval(secs => :older))
       AND EXISTS (SELECT FROM fq.events e WHERE e."offset" = p."offset")
    RETURNING p."offset"
), woken AS (
    UPDATE fq.clients SET wake_at = fq.at_once() WHERE id = :client AND EXISTS (SELECT FROM chosen)
)
SELECT "offset" FROM chosen ORDER BY "offset"
