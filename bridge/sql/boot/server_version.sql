-- Read the server's version as a number, such as 150006.
--
-- Binds      none
-- Returns    the number
-- Relies on  nothing
SELECT CAST(current_setting('server_version_num') AS integer)
