-- How far everything is done for a client whose cursor stands at `done`: up to its oldest delivery still open or its
-- oldest key that waits, else all that was handed over. The search starts at the cursor, because what lies below it are
-- only rows that were deleted, or that a redrive brought back, and those never move a cursor back.
CREATE FUNCTION fq.safe_offset(client text, done bigint, handed_over bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT least(
        (SELECT d."offset" - 1 FROM fq.deliveries d
          WHERE d.client_id = client AND d."offset" > done ORDER BY d."offset" LIMIT 1),
        (SELECT l."offset" - 1 FROM fq.lanes l
          WHERE l.client_id = client AND l."offset" > done ORDER BY l."offset" LIMIT 1),
        handed_over)
$$;

-- The clients that pumps serve. `woken`: its deliveries, lanes and replays need a look, not only the log: a wait is over,
-- or a key's successor may go and there is room for it.
CREATE VIEW fq.served AS
    SELECT c.id, c.dispatched, c.state, c."full",
           coalesce(c.wake_at <= clock_timestamp(), false)
           OR c.state = 'active' AND c.id IN (SELECT l.client_id FROM fq.lanes l WHERE l.ready)
              AND (NOT c."full" OR (SELECT count(*) FROM fq.deliveries d WHERE d.client_id = c.id AND d."offset" >= c.lowest)
                                      < CASE c.ordering WHEN 'strict' THEN 1 ELSE c."window" END) AS woken
      FROM fq.clients c
     WHERE c.task IS NOT NULL AND c.state IN ('active', 'draining');

-- Not a CHECK and not a generated column: both would be worked out again with every move of a cursor, at ten times its cost.
CREATE FUNCTION fq.set_filter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF fq.topics_valid(NEW.topics) IS NOT TRUE THEN
        RAISE EXCEPTION 'client "%": topics % must be patterns such as order.* or #', NEW.id, NEW.topics
            USING ERRCODE = 'check_violation', CONSTRAINT = 'clients_topics';
    END IF;
    NEW.filter := fq.topics_filter(NEW.topics);
    RETURN NEW;
END $$;
CREATE TRIGGER clients_filter BEFORE INSERT OR UPDATE OF topics, filter ON fq.clients
    FOR EACH ROW EXECUTE FUNCTION fq.set_filter();

CREATE FUNCTION fq.guard_client() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.dispatched := NEW."offset";
        NEW.epoch := coalesce((SELECT e.epoch + 1 FROM fq.epochs e WHERE e.client_id = NEW.id), NEW.epoch);
        NEW.last_epoch := NEW.epoch;
        RETURN NEW;
    END IF;
    IF (OLD.task IS NULL) <> (NEW.task IS NULL) THEN  -- handed to the bridge, or taken back: what is in flight is void
        NEW.last_epoch := greatest(OLD.epoch, OLD.last_epoch) + 1;
        NEW.epoch := NEW.last_epoch;
        DELETE FROM fq.deliveries WHERE client_id = OLD.id;
        DELETE FROM fq.lanes WHERE client_id = OLD.id;
        DELETE FROM fq.replays WHERE client_id = OLD.id;
    END IF;
    IF NEW.epoch <> OLD.epoch THEN
        NEW.lowest := -1;
    END IF;
    IF OLD.task IS NULL OR NEW.task IS NULL THEN
        NEW.dispatched := NEW."offset";
    ELSIF NEW.epoch = OLD.epoch AND (NEW."offset" < OLD."offset" OR NEW.dispatched < OLD.dispatched
          OR NEW."offset" <> OLD."offset" AND NEW."offset" <> fq.safe_offset(NEW.id, OLD."offset", NEW.dispatched)) THEN
        RAISE EXCEPTION 'client "%" is driven by the bridge: its cursor % can''t be moved to % by hand',
            NEW.id, OLD."offset", NEW."offset"
            USING ERRCODE = 'FQ002', HINT = format('use `eventbridge seek %s --to %s`', NEW.id, NEW."offset");
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER clients_guard BEFORE INSERT OR UPDATE OF "offset", dispatched, epoch, task ON fq.clients
    FOR EACH ROW EXECUTE FUNCTION fq.guard_client();

CREATE FUNCTION fq.forget_client() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fq.epochs (client_id, epoch) VALUES (OLD.id, greatest(OLD.epoch, OLD.last_epoch))
        ON CONFLICT (client_id) DO UPDATE SET epoch = EXCLUDED.epoch;
    DELETE FROM fq.deliveries WHERE client_id = OLD.id;
    DELETE FROM fq.lanes WHERE client_id = OLD.id;
    DELETE FROM fq.parked WHERE client_id = OLD.id;
    DELETE FROM fq.replays WHERE client_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER clients_gone AFTER DELETE ON fq.clients
    FOR EACH ROW EXECUTE FUNCTION fq.forget_client();
