-- Remember that a pump is at work now, and by how much its host's clock differs from this server's. Of several hosts,
-- the one that differs most is kept for a minute.
--
-- Binds      bridge  text
--            host    text
--            clock   double precision, the host's time in seconds since 1970
-- Returns    nothing
-- Relies on  nothing
INSERT INTO fq.turns AS t (bridge, name, holder, expires_at, taken_at, clock_ahead_seconds)
    VALUES (:bridge, 'tick', :host, clock_timestamp(), clock_timestamp(),
            :clock - extract(epoch FROM clock_timestamp()))
    ON CONFLICT (bridge, name) DO UPDATE
       SET expires_at = EXCLUDED.expires_at,
           (holder, taken_at, clock_ahead_seconds) = (
               SELECT worst.holder, worst.taken_at, worst.clock_ahead_seconds
                 FROM (VALUES (EXCLUDED.holder, EXCLUDED.taken_at, EXCLUDED.clock_ahead_seconds, true),
                              (t.holder, t.taken_at, t.clock_ahead_seconds,
                               t.holder <> EXCLUDED.holder
                               AND t.taken_at BETWEEN EXCLUDED.taken_at - interval '1 minute' AND EXCLUDED.taken_at))
                      AS worst (holder, taken_at, clock_ahead_seconds, counts)
                WHERE worst.counts
                ORDER BY abs(worst.clock_ahead_seconds) DESC NULLS LAST LIMIT 1)
