-- Forget the ids of events that the log has lost, so that a publisher's second try stores them again. Where offsets are
-- used twice, an id stays only if the very transaction that wrote it has written the event that is there now.
--
-- Binds      after  bigint, the last offset whose event is certainly there
--            kept   bigint, the last offset that names the event of before for certain
-- Returns    the number of ids
-- Relies on  hold_all_clients having run in this transaction
WITH forgotten AS (
    DELETE FROM fq.event_ids i
     WHERE i."offset" > :after
       AND NOT EXISTS (SELECT FROM fq.events e
                        WHERE e."offset" = i."offset" AND e.topic = i.topic
                          AND (i."offset" <= :kept OR e.xmin = i.xmin))
    RETURNING i.id
)
SELECT count(*) FROM forgotten
