-- Tell how the clients are set, and how they get on.
--
-- Binds      none
-- Returns    fq.client_settings of each, and tasks (all that its events go to), state_reason, state_seconds (since it
--            is in its state), released, trouble, delivered, age_seconds (since it was registered), parked
-- Relies on  nothing
SELECT s.*, ARRAY(SELECT c.task UNION SELECT r ->> 1 FROM jsonb_array_elements(c.routes) r) AS tasks,
       c.state_reason, c.released_at IS NOT NULL AS released, c.trouble, c.delivered,
       CAST(extract(epoch FROM clock_timestamp() - c.state_at) AS double precision) AS state_seconds,
       CAST(extract(epoch FROM clock_timestamp() - c.created_at) AS double precision) AS age_seconds,
       (SELECT count(*) FROM fq.parked p WHERE p.client_id = c.id) AS parked
  FROM fq.client_settings s JOIN fq.clients c ON c.id = s.id
 ORDER BY s.id
