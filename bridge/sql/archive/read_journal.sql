-- Read old entries of the journal as an archive keeps them, oldest first.
--
-- Binds      older  double precision, seconds: only entries that are older
--            upto   bigint, the last entry that is wanted
--            most   bigint
-- Returns    id, line: the entry as JSON text
-- Relies on  nothing
SELECT j.id, CAST(jsonb_build_object('id', j.id, 'at', j.at, 'by', j.by, 'client', j.client_id, 'action', j.action,
                                     'details', j.details) AS text) AS line
  FROM fq.journal j WHERE j.at < now() - make_interval(secs => :older)
   AND j.id <= :upto ORDER BY j.id LIMIT :most
