-- Write into the journal what has happened to the bridge's broker or its database: an entry for all clients.
--
-- Binds      action   text
--            details  text, a JSON object
-- Returns    nothing
-- Relies on  the transaction that sees to it
INSERT INTO fq.journal (client_id, action, by, details) VALUES ('*', :action, 'bridge', CAST(:details AS jsonb))
