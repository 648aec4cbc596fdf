-- Whether there is anything to do, as cheaply as it can be asked.
--
-- Binds      holder  text
-- Returns    work: events above the horizon, or a client to look at; leading: whether the lease is still the holder's
-- Relies on  nothing
SELECT fq.last_drawn() > h."offset"
       OR EXISTS (SELECT FROM fq.served s
                   WHERE s.dispatched < h."offset" AND NOT s."full" AND s.state = 'active' OR s.woken) AS work,
       EXISTS (SELECT FROM fq.leases l WHERE l.name = 'linger' AND l.holder = :holder) AS leading
  FROM fq.horizon h
