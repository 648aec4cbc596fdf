-- Tell how old the key is that the database keeps, in seconds.
--
-- Binds      none
-- Returns    seconds; no row if there is no key
-- Relies on  the right to read fq.settings
SELECT CAST(extract(epoch FROM clock_timestamp() - set_at) AS double precision) FROM fq.settings WHERE name = 'secret'
