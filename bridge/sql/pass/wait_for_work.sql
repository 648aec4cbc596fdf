-- Wait until there is something to do, another pump takes over, or the time is up; the server itself looks again and again.
--
-- Binds      holder        text
--            seconds       double precision, longest wait
--            poll_seconds  double precision, pause between two looks
-- Returns    work: a client to look at, or events that one has room for; newest: whether the lease is still the holder's
-- Relies on  no transaction around it, which would hold a snapshot for longer
SELECT work, newest FROM fq.wait_for_work(:holder, :seconds, :poll_seconds)
