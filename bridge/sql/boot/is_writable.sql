-- Tell whether this transaction may write; on a standby none may.
--
-- Binds      none
-- Returns    writable
-- Relies on  nothing
SELECT current_setting('transaction_read_only') = 'off' AS writable
