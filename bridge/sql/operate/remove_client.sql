-- Remove a client with all that it has. Its epoch is remembered, in case a client of the same id comes back.
--
-- Binds      client  text
-- Returns    nothing
-- Relies on  hold_client having run in this transaction
DELETE FROM fq.clients WHERE id = :client
