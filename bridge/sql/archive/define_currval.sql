-- Draw an offset in this session, which the caller gives back: the trigger events_offset can't be asked before.
--
-- Binds      nothing
-- Returns    nothing
-- Relies on  a savepoint that the caller rolls back to: no event is written
INSERT INTO fq.events DEFAULT VALUES
