-- Move the horizon as far as it is final.
--
-- Binds      none
-- Returns    horizon; "offset" and created_us (microseconds since 1970) of the last event up to it, or NULL
-- Relies on  a transaction of its own: it holds the horizon's row
SELECT h.horizon, last."offset", CAST(extract(epoch FROM last.created_at) * 1000000 AS bigint) AS created_us
  FROM (SELECT fq.advance_horizon() AS horizon) h
  LEFT JOIN LATERAL (SELECT e."offset", e.created_at FROM fq.events e
                      WHERE e."offset" <= h.horizon ORDER BY e."offset" DESC LIMIT 1) last ON true
