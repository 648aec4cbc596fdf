-- Find the last offset before everything that was created at or after a time. It looks at the oldest events first, and
-- then where the index of times says that there may be such ones: a time is mostly long ago, or a short while.
--
-- Binds      since    timestamptz
--            horizon  bigint
--            looks    integer, how many of the oldest events to look at
-- Returns    the offset; the horizon if there is no event as young as that
-- Relies on  advance_horizon having given the horizon
SELECT least(coalesce((SELECT min(o."offset") - 1
                         FROM (SELECT e."offset", e.created_at FROM fq.events e ORDER BY e."offset" LIMIT :looks) o
                        WHERE o.created_at >= :since),
                      (SELECT min(y."offset") - 1
                         FROM (SELECT e."offset" FROM fq.events e
                                WHERE e.created_at >= :since OFFSET 0) y),  -- else it looks in the order of offsets
                      :horizon), :horizon)
