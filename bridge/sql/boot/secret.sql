-- Read the key that signs callbacks where no setting names one.
--
-- Binds      none
-- Returns    the key
-- Relies on  nothing
SELECT value FROM fq.settings WHERE name = 'secret'
