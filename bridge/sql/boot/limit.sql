-- Set the limits of a session, or of a transaction, and tell whether it takes writes.
--
-- Binds      names   text[], names of settings
--            values  text[], their values, in the same order
--            local   boolean, whether for this transaction only
-- Returns    read_only: `on` if nothing can be written, else `off`; limits, the number of settings
-- Relies on  a transaction, where local: the limits end with it
SELECT current_setting('transaction_read_only') AS read_only, count(set_config(s.name, s.value, :local)) AS limits
  FROM unnest(CAST(:names AS text[]), CAST(:values AS text[])) AS s (name, value)
