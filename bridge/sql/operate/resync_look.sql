-- Look at what the log itself can tell after a restore. An event at or below the horizon was written by a transaction
-- before the one that moved the horizon. So one there whose transaction is younger was written after the sequence had
-- been set back, at an offset that may have named another event. Such events are the last ones that were drawn.
--
-- Binds      none
-- Returns    drawn: the last offset that was drawn; horizon; starts, of the generations; last: the last event; pruned;
--            handed_over: how far the log was handed over to any client; reached: the highest offset that any client or
--            reader has had; reused: the first event that was written at an offset that had been drawn before, or NULL
-- Relies on  hold_all_clients having run in this transaction
WITH at AS MATERIALIZED (
    SELECT fq.last_drawn() AS drawn, h."offset" AS horizon, age(h.xmin) AS age FROM fq.horizon h
), kept AS MATERIALIZED (
    SELECT coalesce((SELECT e."offset" FROM fq.events e
                      WHERE e."offset" <= at.drawn AND age(e.xmin) >= at.age
                      ORDER BY e."offset" DESC LIMIT 1), -1) AS last
      FROM at WHERE at.drawn < at.horizon
)
SELECT at.drawn, at.horizon, l.starts, coalesce((SELECT max(e."offset") FROM fq.events e), -1) AS last, l.pruned,
       (SELECT max(c.dispatched) FROM fq.clients c WHERE c.task IS NOT NULL) AS handed_over,
       coalesce((SELECT max(greatest(c."offset", c.dispatched)) FROM fq.clients c), -1) AS reached,
       (SELECT min(e."offset") FROM fq.events e, kept k WHERE e."offset" > k.last AND e."offset" <= at.drawn) AS reused
  FROM at CROSS JOIN fq.log l
