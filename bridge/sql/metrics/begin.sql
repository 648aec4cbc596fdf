-- Begin to read metrics: the statements that follow in this transaction read no table as a whole (decision 14).
--
-- Binds      none
-- Returns    done
-- Relies on  a transaction
SELECT done FROM fq.without_table_scans()
