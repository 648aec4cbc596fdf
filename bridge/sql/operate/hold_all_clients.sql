-- Hold the table of clients, so that nothing is handed over or settled until the transaction ends, and wait for what is
-- under way. Whoever locks a client takes this lock's opposite before it looks at the log: see lock_clients.sql.
--
-- Binds      none
-- Returns    nothing
-- Relies on  a transaction: the lock ends with it
LOCK TABLE fq.clients IN EXCLUSIVE MODE
