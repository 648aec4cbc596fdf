-- Return how far everything is finished for a client whose cursor stands at `done`: up to the event before its oldest
-- open delivery or its oldest lane, else all that was handed over. Example: 5 and 9 are open, 7 is the next event of a
-- lane, so the cursor moves to 4. The search begins at the cursor. What lies below it are only rows that were deleted,
-- and redriven or replayed events, which never move a cursor back.
CREATE FUNCTION fq.safe_offset(client text, done bigint, handed_over bigint) RETURNS bigint LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT least(
        (SELECT d."offset" - 1 FROM fq.deliveries d
          WHERE d.client_id = client AND d."offset" > done ORDER BY d."offset" LIMIT 1),
        (SELECT l."offset" - 1 FROM fq.lanes l
          WHERE l.client_id = client AND l."offset" > done ORDER BY l."offset" LIMIT 1),
        handed_over);
END;

-- Keep a client's filter in step with its topics, and refuse topics that are not patterns. This is a trigger, and
-- neither a CHECK nor a generated column: those are evaluated again with every move of a cursor, at ten times its cost.
CREATE FUNCTION fq.set_filter() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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

-- Begin a new client at its cursor, in an epoch that no removed client of this id has had.
CREATE FUNCTION fq.begin_client() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.dispatched := NEW."offset";
    NEW.counted_after := NEW."offset";
    NEW.epoch := coalesce((SELECT max(e.epoch) + 1 FROM fq.epochs e WHERE e.client_id IN (NEW.id, '*')), NEW.epoch);
    NEW.last_epoch := NEW.epoch;
    RETURN NEW;
END $$;
CREATE TRIGGER clients_begin BEFORE INSERT ON fq.clients
    FOR EACH ROW EXECUTE FUNCTION fq.begin_client();

-- Void all that is in flight when a client is given to the bridge or taken back from it: a new epoch begins. In every
-- new epoch a redrive may go out anywhere below the cursor, so `lowest` begins at the bottom again.
CREATE FUNCTION fq.begin_epoch() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (OLD.task IS NULL) <> (NEW.task IS NULL) THEN
        NEW.last_epoch := greatest(OLD.epoch, OLD.last_epoch) + 1;
        NEW.epoch := NEW.last_epoch;
        DELETE FROM fq.deliveries WHERE client_id = OLD.id;
        DELETE FROM fq.lanes WHERE client_id = OLD.id;
        DELETE FROM fq.replays WHERE client_id = OLD.id;
        DELETE FROM fq.aside WHERE client_id = OLD.id;
    END IF;
    NEW.lowest := -1;
    RETURN NEW;
END $$;
CREATE TRIGGER clients_epoch BEFORE UPDATE OF epoch, task ON fq.clients
    FOR EACH ROW WHEN (NEW.epoch <> OLD.epoch OR (OLD.task IS NULL) <> (NEW.task IS NULL))
    EXECUTE FUNCTION fq.begin_epoch();

-- Begin a client's ledger anew where it stands. From here on a pass adds to it what it hands over, an outcome takes
-- from it what it ends, and `audit` compares it with the tables and with the log. Where only the topics are new, what
-- is open or parked is still owed.
CREATE FUNCTION fq.begin_ledger(client text, owed boolean DEFAULT true) RETURNS void LANGUAGE sql VOLATILE BEGIN ATOMIC
    UPDATE fq.clients c
       SET counted_after = c.dispatched, counted = 0, counted_sum = 0,
           owed = CASE WHEN begin_ledger.owed THEN t.number ELSE c.owed END,
           owed_sum = CASE WHEN begin_ledger.owed THEN t.total ELSE c.owed_sum END
      FROM (SELECT count(*) AS number, coalesce(sum(o."offset"), 0) AS total
              FROM (SELECT d."offset" FROM fq.deliveries d WHERE d.client_id = client
                     UNION ALL
                    SELECT p."offset" FROM fq.parked p WHERE p.client_id = client) o) t
     WHERE c.id = client;
    DELETE FROM fq.uncounted u WHERE u.client_id = client;
END;

-- Begin the ledger anew in a new epoch, and where other events match from now on. This runs at the end of the
-- transaction, when all that was in flight is gone, in whatever order that was done.
CREATE FUNCTION fq.begin_ledger_anew() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM fq.begin_ledger(NEW.id, NEW.epoch <> OLD.epoch);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER clients_ledger AFTER UPDATE OF epoch, task, topics, filter ON fq.clients
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.epoch <> OLD.epoch OR NEW.filter <> OLD.filter) EXECUTE FUNCTION fq.begin_ledger_anew();

-- Let `dispatched` follow the cursor of a plain SQL reader, also in the moment in which it becomes or stops being one.
-- A reader that commits is served again, and holds the log.
CREATE FUNCTION fq.follow_reader() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.dispatched := NEW."offset";
    NEW.released_at := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER clients_reader BEFORE UPDATE OF "offset", dispatched, epoch, task ON fq.clients
    FOR EACH ROW WHEN (OLD.task IS NULL OR NEW.task IS NULL) EXECUTE FUNCTION fq.follow_reader();

-- Refuse to move the cursor of a client that the bridge drives to any place but the one that fq.safe_offset gives (G3).
-- Only `seek` may, which begins a new epoch.
CREATE FUNCTION fq.guard_cursor() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW."offset" < OLD."offset" OR NEW.dispatched < OLD.dispatched
       OR NEW."offset" <> OLD."offset" AND NEW."offset" <> fq.safe_offset(NEW.id, OLD."offset", NEW.dispatched) THEN
        RAISE EXCEPTION 'client "%" is driven by the bridge: its cursor % can''t be moved to % by hand',
            NEW.id, OLD."offset", NEW."offset"
            USING ERRCODE = 'FQ002', HINT = format('use `eventbridge seek %s --to %s`', NEW.id, NEW."offset");
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER clients_guard BEFORE UPDATE OF "offset", dispatched, epoch, task ON fq.clients
    FOR EACH ROW WHEN (OLD.task IS NOT NULL AND NEW.task IS NOT NULL AND NEW.epoch = OLD.epoch)
    EXECUTE FUNCTION fq.guard_cursor();

-- Delete all that a removed client leaves, but remember its last epoch. More than a thousand epochs become one, above
-- which every new client begins.
CREATE FUNCTION fq.forget_client() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO fq.epochs (client_id, epoch) VALUES (OLD.id, greatest(OLD.epoch, OLD.last_epoch))
        ON CONFLICT (client_id) DO UPDATE SET epoch = greatest(epochs.epoch, EXCLUDED.epoch);
    IF (SELECT count(*) FROM fq.epochs) > 1000 THEN
        INSERT INTO fq.epochs (client_id, epoch) SELECT '*', max(e.epoch) FROM fq.epochs e
            ON CONFLICT (client_id) DO UPDATE SET epoch = greatest(epochs.epoch, EXCLUDED.epoch);
        DELETE FROM fq.epochs WHERE client_id <> '*';
    END IF;
    DELETE FROM fq.deliveries WHERE client_id = OLD.id;
    DELETE FROM fq.lanes WHERE client_id = OLD.id;
    DELETE FROM fq.parked WHERE client_id = OLD.id;
    DELETE FROM fq.uncounted WHERE client_id = OLD.id;
    DELETE FROM fq.replays WHERE client_id = OLD.id;
    DELETE FROM fq.aside WHERE client_id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER clients_gone AFTER DELETE ON fq.clients
    FOR EACH ROW EXECUTE FUNCTION fq.forget_client();
