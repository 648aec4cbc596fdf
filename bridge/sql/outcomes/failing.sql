-- Find and lock the deliveries that these failures are about. A failure of an earlier attempt or epoch is about none,
-- and so is one that was reported before. A delivery is left out while the handler of another attempt has it in its
-- transaction, because that transaction may commit.
--
-- Binds      clients   text[]
--            offsets   bigint[]
--            epochs    integer[]
--            attempts  integer[]
--            state     text: `sent`, or `done` to find those whose handler's transaction committed before
-- Returns    client_id, "offset", epoch, attempt, tries (attempts since the last redrive)
-- Relies on  lock_clients having run in this transaction
SELECT d.client_id, d."offset", d.epoch, d.attempt, d.attempt - d.earlier_attempts AS tries
  FROM unnest(CAST(:clients AS text[]), CAST(:offsets AS bigint[]), CAST(:epochs AS integer[]),
              CAST(:attempts AS integer[])) AS o (client_id, "offset", epoch, attempt)
 CROSS JOIN LATERAL (  -- OFFSET 0 keeps the planner from joining in another way: see decision 14
       SELECT * FROM fq.deliveries l WHERE l.client_id = o.client_id AND l."offset" = o."offset" OFFSET 0
          FOR UPDATE SKIP LOCKED) d
 WHERE d.epoch = o.epoch AND d.attempt = o.attempt AND d.state = :state
