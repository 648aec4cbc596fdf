-- Count parked events by the type of their error. Of a client with many, the newest events are looked at.
--
-- Binds      clients  text[]
--            most     bigint, most events of one client to look at
--            types    bigint, most types of one client; those with the most events
-- Returns    client, error_type (NULL where none is known), events
-- Relies on  nothing
SELECT t.client, t.error_type, t.events
  FROM unnest(CAST(:clients AS text[])) AS c (id)
 CROSS JOIN LATERAL (
       SELECT c.id AS client, p.error_type, count(*) AS events
         FROM (SELECT left(p.error_type, 200) AS error_type FROM fq.parked p
                WHERE p.client_id = c.id ORDER BY p."offset" DESC LIMIT :most) p
        GROUP BY p.error_type
        ORDER BY count(*) DESC, p.error_type LIMIT :types) t
