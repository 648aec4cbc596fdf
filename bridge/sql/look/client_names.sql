-- List the ids of clients that begin like this.
--
-- Binds      prefix  text
--            most    bigint
-- Returns    id of each
-- Relies on  nothing
SELECT id FROM fq.clients WHERE starts_with(id, :prefix) ORDER BY id LIMIT :most
