-- Bound every statement and every wait for a lock.
--
-- Binds      statement_ms  text, milliseconds
--            lock_ms       text, milliseconds
--            local         boolean, whether for this transaction only
-- Returns    nothing of interest
-- Relies on  a transaction, where local: the limits end with it
SELECT set_config('statement_timeout', :statement_ms, :local), set_config('lock_timeout', :lock_ms, :local)
