-- Add what a process has measured to a histogram of durations. Where its bounds are others than before, it begins anew.
--
-- Binds      bridge   text
--            name     text, pass | settle
--            bounds   double precision[], seconds
--            counts   bigint[], one more than the bounds
--            seconds  double precision, of all of them together
-- Returns    nothing
-- Relies on  nothing
INSERT INTO fq.durations AS d (bridge, name, bounds, counts, seconds)
    VALUES (:bridge, :name, CAST(:bounds AS double precision[]), CAST(:counts AS bigint[]), :seconds)
    ON CONFLICT ON CONSTRAINT durations_pkey DO UPDATE
       SET bounds = EXCLUDED.bounds,
           counts = CASE WHEN d.bounds = EXCLUDED.bounds
                         THEN ARRAY(SELECT o.number + n.number
                                      FROM unnest(d.counts) WITH ORDINALITY o (number, nth)
                                      JOIN unnest(EXCLUDED.counts) WITH ORDINALITY n (number, nth) ON n.nth = o.nth
                                     ORDER BY o.nth)
                         ELSE EXCLUDED.counts END,
           seconds = CASE WHEN d.bounds = EXCLUDED.bounds THEN d.seconds ELSE 0 END + EXCLUDED.seconds
