-- Append the scheduled events that are due to the log, unless another pump does at this moment.
--
-- Binds      most  integer, most events at once
-- Returns    done: how many are done; held: how many could not be appended, and are tried again later; why: what is
--            wrong with the last one that Postgres refused, or NULL. Where both numbers are 0 that is all for now
-- Relies on  advance_horizon having run in this tick, which finds out whether the log was set back
SELECT done, held, why FROM fq.append_due(:most)
