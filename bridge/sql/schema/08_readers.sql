-- Append one event, and return it.
CREATE FUNCTION fq.put(payload jsonb DEFAULT '{}', topic text DEFAULT 'event', key text DEFAULT NULL)
RETURNS fq.events LANGUAGE sql VOLATILE BEGIN ATOMIC
    INSERT INTO fq.events (payload, topic, key) VALUES ($1, $2, $3) RETURNING *;
END;

-- Return the next final event after a reader's cursor; no row if there is none. The cursor does not move.
CREATE FUNCTION fq.get(client text) RETURNS SETOF fq.events LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    final bigint := fq.read_horizon();  -- a statement of its own: the next one then sees all that is final
BEGIN
    RETURN QUERY
        SELECT e.* FROM fq.events e
         WHERE e."offset" > coalesce((SELECT c."offset" FROM fq.clients c WHERE c.id = client), -1)
           AND e."offset" <= final
         ORDER BY e."offset" LIMIT 1;
END $$;

-- Move a plain SQL reader's cursor forward, and return its row; the first commit creates it.
CREATE FUNCTION fq.commit(client text, "offset" bigint) RETURNS fq.clients LANGUAGE sql VOLATILE BEGIN ATOMIC
    INSERT INTO fq.clients (id, "offset") VALUES ($1, $2)
        ON CONFLICT ON CONSTRAINT clients_pkey DO UPDATE SET "offset" = greatest(clients."offset", EXCLUDED."offset")
        RETURNING *;
END;
