-- Return what is said of a client in its own row, and what there must be by its ledger, beside what there is.
--
-- Binds      client  text
-- Returns    id, task, "offset", dispatched, epoch, filter, counted_after; counted, uncounted, owed and there, each
--            with the sum of its offsets; horizon, drawn, pruned; faults of the row itself, each by its name
-- Relies on  a snapshot
SELECT c.id, c.task, c."offset", c.dispatched, c.epoch, c.filter, c.counted_after, c.counted, c.counted_sum,
       coalesce(u.number, 0) AS uncounted, coalesce(u.total, 0) AS uncounted_sum,
       c.owed, c.owed_sum, t.number AS there, t.total AS there_sum,
       h."offset" AS horizon, fq.last_drawn() AS drawn, l.pruned,
       array_remove(ARRAY[
           CASE WHEN c."offset" > c.dispatched THEN 'cursor-above-dispatched' END,
           CASE WHEN c.dispatched > h."offset" THEN 'dispatched-above-horizon' END,
           CASE WHEN h."offset" > fq.last_drawn() THEN 'horizon-above-log' END,
           CASE WHEN c.epoch > c.last_epoch THEN 'epoch-above-last' END,
           CASE WHEN c.counted_after > c.dispatched THEN 'ledger-above-dispatched' END,
           CASE WHEN c.wake_at IS NULL AND o.deliveries > 0 THEN 'never-woken' END,
           CASE WHEN c."full" AND o.deliveries = 0 AND c.wake_at IS NULL THEN 'full-of-nothing' END], NULL) AS faults
  FROM fq.clients c CROSS JOIN fq.horizon h CROSS JOIN fq.log l
  LEFT JOIN fq.uncounted u ON u.client_id = c.id AND u.counted_after = c.counted_after
 CROSS JOIN LATERAL (SELECT count(*) AS deliveries FROM fq.deliveries d WHERE d.client_id = c.id) o
 CROSS JOIN LATERAL (
       SELECT count(*) AS number, coalesce(sum(b."offset"), 0) AS total
         FROM (SELECT d."offset" FROM fq.deliveries d WHERE d.client_id = c.id
                UNION ALL
               SELECT p."offset" FROM fq.parked p WHERE p.client_id = c.id) b) t
 WHERE c.id = :client
