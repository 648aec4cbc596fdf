-- Begin a client's ledger anew, from what its tables hold now.
--
-- Binds      client  text
-- Returns    nothing
-- Relies on  hold_client having run in this transaction
SELECT fq.begin_ledger(:client)
