-- Fetch bodies that did not come along with their slice, because they are large: as many as fit, at least one.
--
-- Binds      client    text
--            offsets   bigint[], the events, in order
--            attempts  integer[], of each
--            epochs    integer[], of each
--            call      text, event | payload | kwargs
--            bytes     bigint, most of all together
--            most      bigint, most of one
-- Returns    "offset", body, fault of the first ones; a body that can't be sent is NULL, and `fault` says why
-- Relies on  the events having been handed over in this transaction
SELECT "offset", body, fault
  FROM fq.bodies(:client, CAST(:offsets AS bigint[]), CAST(:attempts AS integer[]), :call, :bytes, :most,
                 CAST(:epochs AS integer[]))
