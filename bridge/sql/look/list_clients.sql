-- List the settings of every client.
--
-- Binds      none
-- Returns    fq.client_settings, one row per client
-- Relies on  nothing
SELECT * FROM fq.client_settings ORDER BY id
