-- Let a session keep the memory that it has used for its next statement (decision 78). The C library hands free memory
-- back to the system where it is more than twice the largest single piece that was ever freed; here that is 4 MB. Else
-- a pass would give back, and take anew, a few megabytes for each slice.
--
-- Binds      none
-- Returns    made, 4,000,000
-- Relies on  nothing; with another C library than glibc it does nothing
SELECT pg_catalog.length(pg_catalog.repeat('x', 4000000)) AS made
