-- Lock a client of any kind and state for an operator, and wait for the transaction that has it.
--
-- Binds      client  text
-- Returns    id, task, state, "offset", dispatched, epoch, open deliveries, parked events, whether it is released; no
--            row if there is no such client
-- Relies on  a transaction: the lock ends with it
SELECT c.id, c.task, c.state, c."offset", c.dispatched, c.epoch,
       (SELECT count(*) FROM fq.open(c.id)) AS open,
       (SELECT count(*) FROM fq.parked p WHERE p.client_id = c.id) AS parked,
       c.released_at IS NOT NULL AS released
  FROM fq.clients c WHERE c.id = :client
   FOR NO KEY UPDATE OF c
