-- The holds: names, such as a backup's or an archive's, that keep all events from an offset on until they expire.
CREATE TABLE fq.holds (
    name       text CONSTRAINT holds_pkey PRIMARY KEY
               CONSTRAINT holds_name CHECK (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]*$' AND length(name) <= 100),
    "offset"   bigint NOT NULL CONSTRAINT holds_offset CHECK ("offset" >= 0),  -- the first event that it keeps
    expires_at timestamptz NOT NULL,
    by         text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The ranges of the log that somebody still needs, each as the events above `below` and up to `last`: all above the
-- cursor of a client, which holds until it is released; what a replay has before it and aside; all from where an
-- unexpired hold begins. A client's lanes lie above its cursor.
CREATE VIEW fq.held_ranges AS
    SELECT 'client' AS kind, c.id AS name, c."offset" AS below, 9223372036854775807 AS last
      FROM fq.clients c WHERE c.released_at IS NULL
     UNION ALL
    SELECT 'replay', r.client_id, least(r.next, (SELECT a."offset" FROM fq.aside a
                                                  WHERE a.client_id = r.client_id AND a.replay_id = r.id
                                                  ORDER BY a."offset" LIMIT 1)) - 1, r.upto
      FROM fq.replays r
     UNION ALL
    SELECT 'hold', h.name, h."offset" - 1, 9223372036854775807 FROM fq.holds h WHERE h.expires_at > clock_timestamp();

-- The single events that somebody still needs, wherever they are: those that are parked, and those that are open.
CREATE VIEW fq.held_events AS
    SELECT 'parked' AS kind, p.client_id AS name, p."offset" FROM fq.parked p
     UNION ALL
    SELECT 'open', d.client_id, d."offset" FROM fq.clients c CROSS JOIN LATERAL fq.open(c.id) d;

-- Refuse a DELETE that takes an event away which somebody still needs, remember how far the log is pruned, forget the
-- events' ids, and take the events from the ledgers of the clients. What is scheduled under such an id is the very
-- event, published early: it goes along, or it would come a second time. This looks once per statement. It writes the
-- log's row first, as a seek back and a new replay do: so each of them sees the other, and one of two that began at an
-- old snapshot fails. It does not look at the sequence, or it would hold the horizon (decision 38). For the settings
-- see fq.without_table_scans.
CREATE FUNCTION fq.guard_delete() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    lowest  bigint;
    highest bigint;
    needed  record;
BEGIN
    SELECT min(g."offset"), max(g."offset") INTO lowest, highest FROM gone g;
    IF highest IS NULL THEN
        RETURN NULL;
    END IF;
    UPDATE fq.log SET pruned = greatest(pruned, highest);
    SELECT h.kind, h.name, g."offset" INTO needed
      FROM fq.held_ranges h CROSS JOIN LATERAL (
           SELECT min(g."offset") AS "offset" FROM gone g WHERE g."offset" > h.below AND g."offset" <= h.last) g
     WHERE h.below < highest AND h.last >= lowest AND g."offset" IS NOT NULL
     ORDER BY h.below, h.kind, h.name LIMIT 1;
    IF NOT FOUND THEN
        SELECT h.kind, h.name, h."offset" INTO needed
          FROM fq.held_events h
         WHERE h."offset" BETWEEN lowest AND highest AND h."offset" IN (SELECT g."offset" FROM gone g)
         ORDER BY h."offset" LIMIT 1;
    END IF;
    IF FOUND THEN
        RAISE EXCEPTION 'event % %', needed."offset",
                  CASE needed.kind WHEN 'client' THEN format('is not done for client "%s"', needed.name)
                                   WHEN 'replay' THEN format('is in a replay to client "%s"', needed.name)
                                   WHEN 'hold' THEN format('is held by "%s"', needed.name)
                                   ELSE format('is %s for client "%s"', needed.kind, needed.name) END
            USING ERRCODE = 'FQ001', HINT = '`eventbridge prune` removes only what nobody needs any more';
    END IF;
    IF EXISTS (SELECT FROM fq.event_ids) THEN
        IF EXISTS (SELECT FROM fq.scheduled s WHERE s.id IS NOT NULL) THEN
            DELETE FROM fq.scheduled s USING fq.event_ids i, gone g WHERE i."offset" = g."offset" AND s.id = i.id;
        END IF;
        DELETE FROM fq.event_ids i USING gone g WHERE i."offset" = g."offset";
    END IF;
    INSERT INTO fq.uncounted AS u (client_id, counted_after, number, total)
    WITH topics AS MATERIALIZED (
        SELECT g.topic, count(*) AS number, sum(g."offset") AS total, min(g."offset") AS low, max(g."offset") AS high
          FROM gone g GROUP BY g.topic
    ), wanted AS MATERIALIZED (
        SELECT f.filter, t.* FROM topics t
          JOIN (SELECT DISTINCT c.filter FROM fq.clients c WHERE c.task IS NOT NULL AND c.counted_after < highest) f
            ON '.' || t.topic ~ f.filter
    )
    SELECT c.id, c.counted_after, sum(n.number), sum(n.total)
      FROM fq.clients c JOIN wanted w ON w.filter = c.filter
     CROSS JOIN LATERAL (
           SELECT w.number, w.total WHERE w.low > c.counted_after AND w.high <= c.dispatched
            UNION ALL
           SELECT count(*), sum(g."offset") FROM gone g
            WHERE g.topic = w.topic AND g."offset" > c.counted_after AND g."offset" <= c.dispatched
              AND NOT (w.low > c.counted_after AND w.high <= c.dispatched)) n
     WHERE c.task IS NOT NULL AND n.number > 0
     GROUP BY c.id, c.counted_after
        ON CONFLICT ON CONSTRAINT uncounted_pkey DO UPDATE
       SET number = u.number + EXCLUDED.number, total = u.total + EXCLUDED.total;
    RETURN NULL;
END $$;
CREATE TRIGGER events_kept AFTER DELETE ON fq.events REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION fq.guard_delete();

-- What is removed makes room for new events only after a vacuum, so one begins at a twentieth of the log, not at a
-- fifth.
ALTER TABLE fq.events SET (autovacuum_vacuum_scale_factor = 0.05);
