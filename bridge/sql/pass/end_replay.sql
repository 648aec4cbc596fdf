-- End a replay that has handed over all of its events.
--
-- Binds      client  text
--            replay  bigint
-- Returns    its id; no row while some are to go out still
-- Relies on  lock_client having run in this transaction
DELETE FROM fq.replays r
 WHERE r.client_id = :client AND r.id = :replay AND r.next > r.upto
   AND NOT EXISTS (SELECT FROM fq.aside a WHERE a.client_id = :client AND a.replay_id = r.id)
RETURNING r.id
