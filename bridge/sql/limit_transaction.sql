-- Bound every statement and every wait for a lock of this transaction.
--
-- Binds      statement_ms  text, milliseconds
--            lock_ms       text, milliseconds
-- Returns    nothing of interest
-- Relies on  a transaction: the limits end with it
SELECT set_config('statement_timeout', :statement_ms, true), set_config('lock_timeout', :lock_ms, true)
