-- Read what the log is, which server has it, and how far clients have got.
--
-- Binds      none
-- Returns    log, generation, pruned, dispatched (the highest of all clients), horizon, system, timeline, started (of
--            the server, as text)
-- Relies on  nothing
SELECT CAST(l.id AS text) AS log, fq.generation() AS generation, l.pruned,
       coalesce((SELECT max(c.dispatched) FROM fq.clients c), -1) AS dispatched,
       (SELECT h."offset" FROM fq.horizon h) AS horizon, s.system, s.timeline,
       CAST(extract(epoch FROM pg_postmaster_start_time()) AS text) AS started
  FROM fq.log l CROSS JOIN fq.server() s
