-- Count what replays have handed over, and keep `lowest` below it.
--
-- Binds      client  text
--            epochs  integer[], of each delivery
--            lowest  bigint, the lowest offset of these
-- Returns    nothing
-- Relies on  lock_client having run in this transaction
WITH counted AS (
    SELECT epoch, count(*) AS events FROM unnest(CAST(:epochs AS integer[])) AS epoch GROUP BY epoch
), lowered AS (
    UPDATE fq.clients SET lowest = :lowest WHERE id = :client AND lowest > :lowest
)
UPDATE fq.replays p
   SET sent = p.sent + c.events, started_at = r.counts_from, served_at = clock_timestamp()
  FROM fq.replays_of(:client) r JOIN counted c ON c.epoch = r.epoch
 WHERE p.id = r.id
