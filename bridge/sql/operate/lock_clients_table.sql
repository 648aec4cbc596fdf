-- Lock all clients: no pass, no settling, no seek, no replay and no new client until this transaction ends.
--
-- Binds      nothing
-- Returns    nothing
-- Relies on  a lock_timeout that is short: whoever comes later waits behind this
LOCK TABLE fq.clients IN EXCLUSIVE MODE
