-- Wait until there is something to do, another pump takes the turn, or the time is up. The server itself looks again
-- and again.
--
-- Binds      holder        text
--            seconds       double precision, longest wait
--            poll_seconds  double precision, pause between two looks
-- Returns    work: whether there is a client to look at, or events that a client has room for; newest: whether the
--            holder still has the turn
-- Relies on  no transaction around it, which would hold a snapshot for longer
SELECT work, newest FROM fq.wait_for_work(:holder, :seconds, :poll_seconds)
