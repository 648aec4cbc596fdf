-- Read the last offset that was drawn, by a transaction that may be open still.
--
-- Binds      nothing
-- Returns    the offset; -1 if there was none
-- Relies on  nothing
SELECT fq.last_drawn()
