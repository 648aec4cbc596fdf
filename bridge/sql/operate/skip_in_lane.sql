-- Pass over an event that waits for an earlier one of its key, and is the next of that key: its lane goes on behind it.
--
-- Binds      client  text
--            offset  bigint
-- Returns    "offset"; no row if it is not the next one of a lane
-- Relies on  hold_client having run in this transaction; move_cursors follows
WITH lane AS MATERIALIZED (
    SELECT l.key, (SELECT min(e."offset") FROM fq.events e
                    WHERE e.key = l.key AND e."offset" > l."offset" AND e."offset" <= c.dispatched
                      AND '.' || e.topic ~ c.filter) AS later
      FROM fq.lanes l JOIN fq.clients c ON c.id = l.client_id
     WHERE l.client_id = :client AND l."offset" = :offset
), going_on AS (
    UPDATE fq.lanes l SET "offset" = n.later FROM lane n
     WHERE l.client_id = :client AND l.key = n.key AND n.later IS NOT NULL
), ended AS (
    DELETE FROM fq.lanes l USING lane n WHERE l.client_id = :client AND l.key = n.key AND n.later IS NULL
), counted AS (
    UPDATE fq.clients c SET counted = c.counted + 1, counted_sum = c.counted_sum + :offset
      FROM lane WHERE c.id = :client AND c.counted_after < :offset
)
SELECT CAST(:offset AS bigint) FROM lane
