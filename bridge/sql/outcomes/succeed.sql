-- Finish the deliveries that succeeded. A success of an earlier attempt counts; one of an earlier epoch does not; one
-- that is repeated finds nothing; one that comes after its event was parked takes the event back. Of several successes
-- of one event the earliest attempt decides. A later one may come from a pass that crashed, whose attempt nobody
-- remembers: alone it counts for nothing, so it must not hide the other.
--
-- Binds      clients   text[]
--            offsets   bigint[]
--            epochs    integer[]
--            attempts  integer[]
--            among     text[], the same clients once each
--            first     bigint, the lowest of the offsets
--            last      bigint, the highest
-- Returns    client_id, finished: how many events each client finished, total: the sum of their offsets
-- Relies on  lock_clients having run in this transaction
WITH fenced AS MATERIALIZED (
    SELECT o.client_id, o."offset", o.epoch, min(o.attempt) AS attempt
      FROM unnest(CAST(:clients AS text[]), CAST(:offsets AS bigint[]), CAST(:epochs AS integer[]),
                  CAST(:attempts AS integer[])) AS o (client_id, "offset", epoch, attempt)
     GROUP BY o.client_id, o."offset", o.epoch
), looked AS MATERIALIZED (  -- FULL JOIN is never a nested loop, IS TRUE keeps IN from being one: decision 14
    SELECT d.client_id, d."offset", d.epoch, d.attempt FROM fq.deliveries d
     WHERE d.client_id = ANY (CAST(:among AS text[])) AND d."offset" BETWEEN :first AND :last
), known AS MATERIALIZED (
    SELECT l.client_id, l."offset", l.epoch
      FROM fenced f FULL JOIN looked l ON l.client_id = f.client_id AND l."offset" = f."offset" AND l.epoch = f.epoch
     WHERE coalesce(f.attempt <= l.attempt, false)
), finished AS (
    DELETE FROM fq.deliveries d
     WHERE d.client_id = ANY (CAST(:among AS text[])) AND d."offset" BETWEEN :first AND :last
       AND ((d.client_id, d."offset", d.epoch) IN (SELECT k.client_id, k."offset", k.epoch FROM known k)) IS TRUE
    RETURNING d.client_id, d.key
), taken_back AS (
    DELETE FROM fq.parked p USING fenced f
     WHERE p.client_id = f.client_id AND p."offset" = f."offset" AND p.epoch = f.epoch AND f.attempt <= p.attempt
    RETURNING p.client_id, p."offset", p.key, p.held
), freed AS (
    UPDATE fq.lanes l SET ready = true
      FROM (SELECT client_id, key FROM finished UNION SELECT client_id, key FROM taken_back WHERE held) done
     WHERE l.client_id = done.client_id AND l.key = done.key
)
SELECT client_id, count(*) AS finished, sum("offset") AS total
  FROM (SELECT client_id, "offset" FROM known UNION ALL SELECT client_id, "offset" FROM taken_back) done
 GROUP BY client_id
