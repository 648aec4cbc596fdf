-- Fetch bodies that did not come along with their slice, because they are large: as many as fit, at least one. A long
-- one comes in pieces, so that it is never there as a whole but where it is put together again. One that is more than
-- all together may be is the first, or is left for the next time.
--
-- Binds      client    text
--            offsets   bigint[], the events, in order
--            attempts  integer[], of each
--            epochs    integer[], of each
--            call      text, event | payload | kwargs
--            bytes     bigint, most of all together
--            most      bigint, most of one
--            piece     integer, most bytes in a row
-- Returns    "offset", length of the body in bytes, piece of it in UTF-8, fault of the first ones, their pieces in
--            order; of a body that can't be sent length and piece are NULL, and `fault` says why
-- Relies on  the events having been handed over in this transaction
SELECT b."offset", octet_length(b.body), substring(b.body FROM p.first FOR CAST(:piece AS integer)), b.fault
  FROM (SELECT f."offset", convert_to(f.body, 'UTF8') AS body, f.fault
          FROM fq.bodies(:client, CAST(:offsets AS bigint[]), CAST(:attempts AS integer[]), :call, :bytes, :most,
                         CAST(:epochs AS integer[])) WITH ORDINALITY AS f ("offset", body, fault, nth)
         WHERE f.nth = 1 OR coalesce(octet_length(f.body), 0) <= CAST(:bytes AS bigint)
        OFFSET 0) b
 CROSS JOIN LATERAL generate_series(1, greatest(octet_length(b.body), 1), CAST(:piece AS integer)) AS p (first)
