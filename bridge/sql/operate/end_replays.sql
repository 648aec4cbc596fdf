-- Stop a client's replays: nothing more of them goes out. What is out already is settled as usual.
--
-- Binds      client  text
-- Returns    next, upto and sent of each
-- Relies on  hold_client having run in this transaction
WITH forgotten AS (
    DELETE FROM fq.aside WHERE client_id = :client
)
DELETE FROM fq.replays WHERE client_id = :client RETURNING next, upto, sent
