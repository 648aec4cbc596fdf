-- Let what an operator ends count for no answer, at all clients of the client's queue: see look_at_leases. What is out
-- behind a message that may wait is counted anew at the next look, in some seconds. Clients that another transaction
-- holds are left out, and so is a delivery that a handler has in its transaction.
--
-- Binds      client  text
-- Returns    nothing
-- Relies on  hold_client having run in this transaction
WITH others AS MATERIALIZED (
    SELECT c.id, c.lowest FROM fq.clients c
     WHERE c.queue = (SELECT q.queue FROM fq.clients q WHERE q.id = :client) AND c.task IS NOT NULL
       FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE fq.deliveries d SET behind = 0
  FROM others o CROSS JOIN LATERAL (
       SELECT w.client_id, w."offset" FROM fq.deliveries w
        WHERE w.client_id = o.id AND w."offset" >= o.lowest AND w.behind > 0 OFFSET 0
          FOR UPDATE SKIP LOCKED) w
 WHERE d.client_id = w.client_id AND d."offset" = w."offset"
