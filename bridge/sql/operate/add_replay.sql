-- Let old events go out to a client again, in an epoch of their own.
--
-- Binds      client      text
--            first       bigint
--            upto        bigint
--            topics      text[], or NULL for all of the client's
--            per_second  double precision, events
-- Returns    id, epoch
-- Relies on  hold_client having run in this transaction
WITH drawn AS (
    UPDATE fq.clients SET last_epoch = last_epoch + 1, wake_at = fq.at_once() WHERE id = :client
    RETURNING id, last_epoch
)
INSERT INTO fq.replays (client_id, epoch, next, upto, filter, per_second)
SELECT id, last_epoch, :first, :upto, coalesce(fq.topics_filter(CAST(:topics AS text[])), ''), :per_second FROM drawn
RETURNING id, epoch
