-- Let deliveries that the broker did not take go out again in a while. This was no attempt, so its number is used
-- again: one that was never with the broker has the number 0 meanwhile.
--
-- Binds      client   text
--            offsets  bigint[]
--            seconds  double precision, until they are due
-- Returns    nothing
-- Relies on  their hand-over having run in this transaction
UPDATE fq.deliveries d
   SET state = 'retrying', attempt = d.attempt - 1, due_at = now() + make_interval(secs => :seconds)
 WHERE d.client_id = :client AND d."offset" = ANY (CAST(:offsets AS bigint[])) AND d.state = 'sent'
   AND d."offset" >= (SELECT lowest FROM fq.clients WHERE id = :client)  -- as fq.open looks
