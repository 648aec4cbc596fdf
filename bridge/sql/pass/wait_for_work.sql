-- Wait until there is something to do, or the time is up. The server itself looks again and again. The turn is read
-- once, before the wait. A tick that loses it meanwhile waits on until this call ends, so two may wait for up to half a
-- second.
--
-- Binds      bridge        text
--            holder        text
--            seconds       double precision, longest wait
--            poll_seconds  double precision, pause between two looks
--            look_for_due  boolean, whether to look for scheduled events, too
--            due_rest      double precision, seconds until that look may be taken
-- Returns    work: whether there is a client to look at, or events that a client has room for; newest: whether the
--            holder had the turn when the wait began; due: whether a scheduled event is due; due_rest: seconds until
--            the next call may look for these
-- Relies on  no transaction around it, which would hold a snapshot for longer
SELECT work, newest, due, due_rest
  FROM fq.wait_for_work(:bridge, :holder, :seconds, :poll_seconds, :look_for_due, :due_rest)
