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
      FROM fq.clients c CROSS JOIN (SELECT pg_catalog.set_config('lock_timeout', :wait_ms, true) OFFSET 0) bounded
     WHERE c.id OPERATOR(pg_catalog.=) :client
       FOR NO KEY UPDATE OF c
), due AS (
    UPDATE fq.deliveries d SET due_at = pg_catalog.now()
      FROM held h
     WHERE d.client_id OPERATOR(pg_catalog.=) h.id AND d."offset" OPERATOR(pg_catalog.=) :offset
       AND d.epoch OPERATOR(pg_catalog.=) :epoch AND d.state OPERATOR(pg_catalog.=) 'done'
       AND d.due_at OPERATOR(pg_catalog.>) pg_catalog.now()
    RETURNING d.client_id
)
UPDATE fq.clients c SET wake_at = fq.at_once() FROM due WHERE c.id OPERATOR(pg_catalog.=) due.client_id
