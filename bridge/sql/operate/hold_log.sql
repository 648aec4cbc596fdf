-- Let nobody remove events until this transaction ends, and tell how far the log is pruned. It waits for who does.
--
-- Binds      released  text: only if this client is released; NULL: in any case
-- Returns    pruned; no row where the client is not released
-- Relies on  a transaction
UPDATE fq.log SET pruned = pruned
 WHERE CAST(:released AS text) IS NULL
    OR EXISTS (SELECT FROM fq.clients c WHERE c.id = :released AND c.released_at IS NOT NULL)
RETURNING pruned
