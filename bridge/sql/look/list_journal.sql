-- List what was done to clients, the newest first.
--
-- Binds      client  text, or NULL for all
--            most    bigint
-- Returns    at, client, action, by, details
-- Relies on  nothing
SELECT at, client_id AS client, action, by, details FROM fq.journal
 WHERE CAST(:client AS text) IS NULL OR client_id = :client
 ORDER BY id DESC LIMIT :most
