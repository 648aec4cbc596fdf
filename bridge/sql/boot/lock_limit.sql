-- Bound every wait for a lock in this transaction.
--
-- Binds      lock_ms  text, milliseconds
-- Returns    nothing of interest
-- Relies on  a transaction: the limit ends with it
SELECT set_config('lock_timeout', :lock_ms, true)
