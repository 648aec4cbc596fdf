-- Fetch the headers of events that a client wants as headers of its messages.
--
-- Binds      offsets  bigint[], the events
--            names    text[], of the headers
--            most     integer, most characters of one
-- Returns    "offset" and `texts` of each: an array in the order of the names; NULL where the event has no such
--            header, or one that is too long
-- Relies on  the events having been handed over in this transaction
SELECT e."offset",
       ARRAY(SELECT CASE WHEN length(e.headers ->> n.name) <= :most THEN e.headers ->> n.name END
               FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS n (name, nth) ORDER BY n.nth) AS texts
  FROM fq.events e
 WHERE e."offset" = ANY (CAST(:offsets AS bigint[])) AND e.headers <> '{}'
