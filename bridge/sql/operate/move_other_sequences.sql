-- Let the numbers of the journal, of replays and of scheduled events go on above those that are there: logical
-- replication copies no sequence. A sequence that is above them stays. No rollback takes that back.
--
-- Binds      none
-- Returns    the tables whose sequence was moved
-- Relies on  nothing
SELECT n.name
  FROM (SELECT 'journal' AS name, 'id' AS number, max(j.id) AS last FROM fq.journal j
         UNION ALL SELECT 'replays', 'id', max(r.id) FROM fq.replays r
         UNION ALL SELECT 'scheduled', 'number', max(s.number) FROM fq.scheduled s) n
 CROSS JOIN LATERAL (SELECT CAST(pg_get_serial_sequence('fq.' || n.name, n.number) AS regclass) AS sequence) s
 WHERE n.last > coalesce(pg_sequence_last_value(s.sequence), 0) AND setval(s.sequence, n.last) > 0
