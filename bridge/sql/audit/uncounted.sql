-- Return what pruning has taken from a client's ledgers.
--
-- Binds      client  text
-- Returns    number, total: of all its ledgers
-- Relies on  nothing
SELECT coalesce(sum(number), 0) AS number, coalesce(sum(total), 0) AS total FROM fq.uncounted WHERE client_id = :client
