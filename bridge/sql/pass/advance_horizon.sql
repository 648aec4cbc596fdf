-- Move the horizon as far as it is final.
--
-- Binds      none
-- Returns    the horizon
-- Relies on  a transaction of its own: it holds the horizon's row
SELECT fq.advance_horizon()
