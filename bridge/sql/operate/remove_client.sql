-- Remove a client with all that it has; its epoch is remembered for who comes back under the same id.
--
-- Binds      client  text
-- Returns    nothing
-- Relies on  hold_client having run in this transaction
DELETE FROM fq.clients WHERE id = :client
