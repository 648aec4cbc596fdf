-- Count the events between two offsets.
--
-- Binds      after  bigint
--            upto   bigint
-- Returns    the number
-- Relies on  nothing
SELECT count(*) FROM fq.events e WHERE e."offset" > :after AND e."offset" <= :upto
