-- Find a client, and lock it so that two registrations do not mix.
--
-- Binds      client  text
-- Returns    fq.client_settings; no row if there is no such client; task is NULL for a plain SQL reader
-- Relies on  a transaction
SELECT * FROM fq.client_settings WHERE id = :client FOR NO KEY UPDATE
