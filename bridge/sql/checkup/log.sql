-- Tell how the log is made, where its sequence stands, and how old and large it is.
--
-- Binds      none
-- Returns    identity (`a`: always), increment, cache and cycles of the sequence, drawn, horizon, last (the highest
--            offset in the log, -1 if it is empty), unlogged (tables that a crash empties), disabled (triggers),
--            replicas (roles whose triggers do not fire; `all roles` where that is the database's setting), strange
--            (what others have put on the tables that may swallow a row, as DROP takes it; what stands on fq.events is
--            the publishers'), public (tables that PUBLIC may do something with), bytes, oldest_seconds (the age of
--            the oldest event), drawable (whether PUBLIC may look at the sequence, as every INSERT does)
-- Relies on  nothing
SELECT CAST(a.attidentity AS text) AS identity, s.seqincrement AS increment, s.seqcache AS cache, s.seqcycle AS cycles,
       CASE WHEN pg_is_in_recovery() THEN h."offset" ELSE fq.last_drawn() END AS drawn, h."offset" AS horizon,
       coalesce((SELECT max(e."offset") FROM fq.events e), -1) AS last,
       ARRAY(SELECT CAST(c.relname AS text) FROM pg_class c
              WHERE c.relnamespace = CAST('fq' AS regnamespace) AND c.relpersistence = 'u' AND c.relkind = 'r'
              ORDER BY 1) AS unlogged,
       ARRAY(SELECT t.tgname || ' of fq.' || c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
              WHERE c.relnamespace = CAST('fq' AS regnamespace) AND NOT t.tgisinternal AND t.tgenabled IN ('D', 'R')
              ORDER BY 1) AS disabled,
       ARRAY(SELECT coalesce(CAST(r.rolname AS text), 'all roles') FROM pg_db_role_setting d
               LEFT JOIN pg_roles r ON r.oid = d.setrole
              WHERE d.setconfig && ARRAY['session_replication_role=replica']
                AND d.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
              ORDER BY 1) AS replicas,
       ARRAY(SELECT 'TRIGGER ' || quote_ident(t.tgname) || ' ON fq.' || c.relname
               FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
              WHERE c.relnamespace = CAST('fq' AS regnamespace) AND c.relname <> 'events' AND NOT t.tgisinternal
                AND p.pronamespace <> c.relnamespace AND t.tgtype & 3 = 3
              UNION ALL
             SELECT 'RULE ' || quote_ident(r.rulename) || ' ON fq.' || c.relname
               FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
              WHERE c.relnamespace = CAST('fq' AS regnamespace) AND c.relname <> 'events' AND r.ev_type <> '1'
              ORDER BY 1) AS strange,
       ARRAY(SELECT c.relname || ' (' || string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type) || ')'
               FROM pg_class c CROSS JOIN aclexplode(c.relacl) x
              WHERE c.relnamespace = CAST('fq' AS regnamespace) AND c.relkind IN ('r', 'v') AND x.grantee = 0
              GROUP BY c.relname ORDER BY c.relname) AS public,
       pg_total_relation_size(CAST('fq.events' AS regclass)) AS bytes,
       (SELECT CAST(extract(epoch FROM clock_timestamp() - e.created_at) AS double precision) FROM fq.events e
         ORDER BY e."offset" LIMIT 1) AS oldest_seconds,
       EXISTS (SELECT FROM pg_class c CROSS JOIN aclexplode(c.relacl) x
                WHERE c.oid = s.seqrelid AND x.grantee = 0 AND x.privilege_type = 'SELECT') AS drawable
  FROM fq.horizon h
  LEFT JOIN pg_attribute a ON a.attrelid = CAST('fq.events' AS regclass) AND a.attname = 'offset'
  LEFT JOIN pg_sequence s ON s.seqrelid = to_regclass(pg_get_serial_sequence('fq.events', 'offset'))
