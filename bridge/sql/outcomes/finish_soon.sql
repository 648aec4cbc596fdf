-- Let the next pass finish an event that is done, and whose callback may never come.
--
-- Binds      client   text
--            offset   bigint
--            epoch    integer
--            wait_ms  text, longest wait for the client in milliseconds
-- Returns    nothing
-- Relies on  a transaction of its own: it holds the client's row
WITH held AS MATERIALIZED (  -- the client before its delivery, as every pass locks them
    SELECT c.id
      FROM fq.clients c CROSS JOIN (SELECT set_config('lock_timeout', :wait_ms, true) OFFSET 0) bounded
     WHERE c.id = :client
       FOR NO KEY UPDATE OF c
), due AS (
    UPDATE fq.deliveries d SET due_at = now()
      FROM held h
     WHERE d.client_id = h.id AND d."offset" = :offset AND d.epoch = :epoch AND d.state = 'done' AND d.due_at > now()
    RETURNING d.client_id
)
UPDATE fq.clients c SET wake_at = fq.at_once() FROM due WHERE c.id = due.client_id
