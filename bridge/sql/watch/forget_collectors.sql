-- Forget a collector that has ended, and those whose notes have run out long ago.
--
-- Binds      bridge  text
--            name    text, of the collector
-- Returns    nothing
-- Relies on  nothing
DELETE FROM fq.turns
 WHERE bridge = :bridge AND starts_with(name, 'collector ')
   AND (name = 'collector ' || :name OR expires_at < clock_timestamp() - interval '1 hour')
