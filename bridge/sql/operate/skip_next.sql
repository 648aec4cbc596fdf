-- Pass over the next event that a client would be handed from the log, as if it had been handed over and finished.
--
-- Binds      client   text
--            offset   bigint
--            horizon  bigint
-- Returns    "offset"; no row if it is not the next one that matches, or not final
-- Relies on  hold_client having run in this transaction; move_cursors follows
UPDATE fq.clients c SET dispatched = e."offset", counted = c.counted + 1, counted_sum = c.counted_sum + e."offset"
  FROM fq.events e
 WHERE c.id = :client AND e."offset" = :offset AND e."offset" > c.dispatched AND e."offset" <= :horizon
   AND '.' || e.topic ~ c.filter
   AND NOT EXISTS (SELECT FROM fq.lanes l WHERE l.client_id = c.id AND l.key = e.key)  -- it comes after others there
   AND NOT EXISTS (SELECT FROM fq.events b
                    WHERE b."offset" > c.dispatched AND b."offset" < e."offset" AND '.' || b.topic ~ c.filter)
RETURNING e."offset"
