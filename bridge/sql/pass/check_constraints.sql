-- Check now what a commit would check: constraints, and triggers, that are deferred.
--
-- Binds      nothing
-- Returns    nothing
-- Relies on  a transaction
SET CONSTRAINTS ALL IMMEDIATE
