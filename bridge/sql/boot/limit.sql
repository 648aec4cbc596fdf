-- Set the limits of a session, or of a transaction, and tell whether it takes writes. A setting that this server does
-- not know is left out. It runs before the search path is set, so every name is qualified. `unnest` of several arrays
-- can't be: it is grammar, and pg_catalog's whatever the path.
--
-- Binds      names   text[], names of settings
--            values  text[], their values, in the same order
--            local   boolean, whether for this transaction only
-- Returns    read_only: `on` if nothing can be written, else `off`; limits, the number of settings; started, which
--            tells this server from the one before a restart or a fail-over
-- Relies on  a transaction, where local: the limits end with it
SELECT pg_catalog.current_setting('transaction_read_only') AS read_only,
       pg_catalog.count(pg_catalog.set_config(s.name, s.value, :local)) AS limits,
       CAST(EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time()) AS pg_catalog.text) AS started
  FROM unnest(CAST(:names AS pg_catalog.text[]), CAST(:values AS pg_catalog.text[])) AS s (name, value)
 WHERE pg_catalog.current_setting(s.name, true) IS NOT NULL
