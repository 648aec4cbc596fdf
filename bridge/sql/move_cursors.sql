-- Move cursors up to what is done, count what succeeded, and let the pump look at these clients again.
--
-- Binds      clients    text[]
--            succeeded  bigint[], how many events each finished by success
-- Returns    nothing
-- Relies on  the clients being locked in this transaction
UPDATE fq.clients c
   SET "offset" = fq.safe_offset(c.id, c."offset", c.dispatched), succeeded = c.succeeded + n.succeeded, wake_at = 'epoch',
       "full" = false
  FROM unnest(CAST(:clients AS text[]), CAST(:succeeded AS bigint[])) AS n (id, succeeded)
 WHERE c.id = n.id
