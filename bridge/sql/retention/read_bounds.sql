-- Tell how far the log may be pruned: only what is final, what is not among the newest that are to stay, and what is
-- below all that is held.
--
-- Binds      keep  bigint, how many of the newest events stay; NULL: any
-- Returns    upto: the last offset that is neither above the horizon nor among the newest; held: the last offset below
--            all that is held, the horizon where nothing is
-- Relies on  nothing
SELECT least(h."offset", CASE WHEN CAST(:keep AS bigint) IS NULL THEN h."offset"
                              ELSE coalesce((SELECT e."offset" FROM fq.events e WHERE e."offset" <= h."offset"
                                              ORDER BY e."offset" DESC OFFSET :keep LIMIT 1), -1) END) AS upto,
       coalesce((SELECT min(r.below) FROM fq.held_ranges r), h."offset") AS held
  FROM fq.horizon h
