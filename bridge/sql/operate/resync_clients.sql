-- Give every client a new epoch, and let none stand above the last offset that names the event of before. The epochs of
-- its replays have moved by as much as its own: see resync_deliveries.
--
-- Binds      kept  bigint
-- Returns    id, before: the cursor before, "offset": the cursor now, in the order of their ids
-- Relies on  resync_deliveries having run in this transaction
WITH moved AS (
    UPDATE fq.clients c
       SET "offset" = least(c."offset", :kept), dispatched = least(c.dispatched, :kept), epoch = c.last_epoch + 1,
           last_epoch = 2 * c.last_epoch + 1 - c.epoch, wake_at = fq.at_once(), "full" = false, updated_at = now()
      FROM fq.clients b WHERE b.id = c.id
    RETURNING c.id, b."offset" AS before, c."offset"
)
SELECT id, before, "offset" FROM moved ORDER BY id
