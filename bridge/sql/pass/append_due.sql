-- Append the scheduled events that are due to the log, unless another pump does at this moment.
--
-- Binds      most  integer, most events at once
-- Returns    how many are done; fewer than `most` where that is all for now
-- Relies on  advance_horizon having run in this tick, which finds out whether the log was set back
SELECT fq.append_due(:most)
