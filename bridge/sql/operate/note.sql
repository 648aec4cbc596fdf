-- Write into the journal who did what to a client.
--
-- Binds      client   text
--            action   text
--            by       text, who
--            details  text, a JSON object
-- Returns    nothing
-- Relies on  the transaction that does it
INSERT INTO fq.journal (client_id, action, by, details) VALUES (:client, :action, :by, CAST(:details AS jsonb))
