-- End a pass: move the cursor over what needed no delivery, count what went out, and say when to look again.
--
-- Binds      client     text
--            delivered  bigint, events handed over for the first time in this pass
--            hungry     boolean, whether more may be ready than this pass took
--            full       boolean, whether the window has no room left: a finished delivery wakes the client
-- Returns    nothing
-- Relies on  lock_client having run in this transaction
UPDATE fq.clients c
   SET "offset" = fq.safe_offset(c.id, c."offset", c.dispatched), delivered = c.delivered + :delivered, trouble = NULL,
       trouble_at = NULL, "full" = :full,
       wake_at = CASE WHEN :hungry THEN 'epoch'
                 ELSE (SELECT min(d.due_at) FROM fq.deliveries d WHERE d.client_id = c.id) END
 WHERE c.id = :client
