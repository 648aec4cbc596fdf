-- Tell until when all that the collectors of a bridge had taken is settled.
--
-- Binds      bridge  text
-- Returns    now (the server's time), settled (the moment; NULL while no collector is at work)
-- Relies on  nothing
SELECT clock_timestamp() AS now, min(t.taken_at) AS settled FROM fq.turns t
 WHERE t.bridge = :bridge AND starts_with(t.name, 'collector ') AND t.expires_at > clock_timestamp()
