-- Say who acts in this transaction, for what the tables note in the journal by themselves.
--
-- Binds      by  text, who
-- Returns    nothing that matters
-- Relies on  a transaction: it ends with that
SELECT set_config('fq.by', :by, true)
