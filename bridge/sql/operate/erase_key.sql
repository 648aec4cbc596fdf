-- Replace the key of the next events of a key that no client needs any more, and forget their ids; they are erased
-- already.
--
-- Binds      key        text
--            pseudonym  text, `erased-` and 32 hexadecimal digits
--            after      bigint, the last offset that is not wanted
--            upto       bigint, the last one that is
--            most       bigint, most events to look at
-- Returns    last: the highest offset that was looked at, NULL if there is none; replaced: how many keys
-- Relies on  lock_clients_table having run in this transaction
WITH looked AS MATERIALIZED (
    SELECT e."offset", fq.is_erased(e) AND NOT fq.in_use(e."offset") AS free FROM fq.events e
     WHERE e.key = :key AND e."offset" > :after AND e."offset" <= :upto
     ORDER BY e."offset" LIMIT :most
       FOR NO KEY UPDATE
), replaced AS (
    UPDATE fq.events e SET key = :pseudonym FROM looked l WHERE e."offset" = l."offset" AND l.free
    RETURNING e."offset"
), forgotten AS (
    DELETE FROM fq.event_ids i USING replaced r WHERE i."offset" = r."offset"
)
SELECT max(l."offset") AS last, (SELECT count(*) FROM replaced) AS replaced FROM looked l
