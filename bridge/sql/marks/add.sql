-- Make the row of a broker, with no mark in it yet, so that whoever compares can lock it.
--
-- Binds      bridge  text
--            broker  text
-- Returns    nothing
-- Relies on  nothing
INSERT INTO fq.marks (bridge, broker) VALUES (:bridge, :broker) ON CONFLICT DO NOTHING
