-- Take one client for a pass, unless another transaction holds it, or it is not served, or another bridge serves it.
-- From here on the transaction reads no table as a whole.
--
-- Binds      client  text
--            bridge  text, which the pass is of; NULL for any
-- Returns    fq.client_settings; the log's generation, which stays the same until the transaction ends; no row if the
--            client is taken
-- Relies on  a transaction: the lock ends with it
SELECT s.*, (SELECT cardinality(l.starts) FROM fq.log l) AS generation
  FROM fq.client_settings s JOIN fq.served v ON v.id = s.id CROSS JOIN fq.without_table_scans()
 WHERE s.id = :client AND s.bridge = coalesce(CAST(:bridge AS text), s.bridge)
   FOR NO KEY UPDATE OF s SKIP LOCKED
