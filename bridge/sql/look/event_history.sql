-- List what people did to one event at one client, the newest first. An entry names at most a thousand offsets; `named`
-- is false where it was about more events, and this may be one of them.
--
-- Binds      client  text
--            offset  bigint
--            most    bigint
-- Returns    at, action, by, reason, named
-- Relies on  nothing
SELECT j.at, j.action, j.by, j.details ->> 'reason' AS reason,
       j.details -> 'offsets' @> to_jsonb(CAST(:offset AS bigint)) AS named
  FROM fq.journal j
 WHERE j.client_id = :client AND jsonb_typeof(j.details -> 'offsets') = 'array'
   AND (j.details -> 'offsets' @> to_jsonb(CAST(:offset AS bigint))
        OR CAST(j.details ->> 'events' AS bigint) > jsonb_array_length(j.details -> 'offsets')
           AND CAST(j.details -> 'offsets' ->> -1 AS bigint) < :offset)
 ORDER BY j.id DESC LIMIT :most
