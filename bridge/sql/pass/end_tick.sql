-- Note the end of a tick whose turn has run out, or of one behind it that has not taken the turn. The ticks that come
-- close behind then end at once, until none is left of those that have piled up.
--
-- Binds      bridge        text
--            most_seconds  double precision, longest time since the turn was taken: then the next tick takes it
-- Returns    nothing
-- Relies on  nothing
UPDATE fq.turns t SET expires_at = now()
 WHERE t.bridge = :bridge AND t.name = 'linger' AND t.expires_at < now()
   AND t.taken_at > now() - make_interval(secs => :most_seconds)
