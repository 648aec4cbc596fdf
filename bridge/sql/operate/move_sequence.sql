-- Let the next offset be drawn above this one. No rollback takes that back, and it never goes back itself.
--
-- Binds      sequence  bigint, the last offset that counts as drawn
-- Returns    the same; no row if the sequence was there already
-- Relies on  nothing
SELECT setval(CAST(pg_get_serial_sequence('fq.events', 'offset') AS regclass), CAST(:sequence AS bigint))
 WHERE :sequence > greatest(fq.last_drawn(), 0)
