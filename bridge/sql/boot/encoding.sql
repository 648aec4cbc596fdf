-- Tell in which encoding the database keeps text.
--
-- Binds      none
-- Returns    database (its name), encoding
-- Relies on  nothing
SELECT current_database() AS database, current_setting('server_encoding') AS encoding
