-- Count the scheduled events.
--
-- Binds      most  bigint, where counting ends
-- Returns    how many there are, and in how many seconds the next one is due; NULL if there is none
-- Relies on  nothing
SELECT (SELECT count(*) FROM (SELECT FROM fq.scheduled LIMIT :most) s) AS events,
       (SELECT CAST(extract(epoch FROM s.due_at - clock_timestamp()) AS double precision)
          FROM fq.scheduled s ORDER BY coalesce(s.held_until, s.due_at), s.number LIMIT 1) AS next_in_seconds
