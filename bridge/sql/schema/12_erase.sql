-- Return what the payload of an erased event is.
CREATE FUNCTION fq.erased() RETURNS jsonb LANGUAGE sql IMMUTABLE
BEGIN ATOMIC SELECT CAST('{"erased": true}' AS jsonb); END;

-- Tell whether an event is erased. A large payload is not read for it.
CREATE FUNCTION fq.is_erased(e fq.events) RETURNS boolean LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT CASE WHEN pg_column_size(e.payload) <= 64 AND pg_column_size(e.headers) <= 16
                THEN e.payload = fq.erased() AND e.headers = '{}' ELSE false END;
END;

-- Return a text that an attempt at an event left, such as an error; `erased` if the event is erased by now, or gone.
-- The attempt may have had the payload of before, and quote it.
CREATE FUNCTION fq.unless_erased("offset" bigint, said text) RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT CASE WHEN said IS NULL
                  OR EXISTS (SELECT FROM fq.events e WHERE e."offset" = unless_erased."offset" AND NOT fq.is_erased(e))
                THEN said ELSE 'erased' END;
END;

-- Tell whether a client that the bridge drives has still to do with an event: it has not finished it, has parked it, or
-- has a replay that may hand it over. Lanes find the events of a key in the log, so the key of such an event must stay.
CREATE FUNCTION fq.in_use("offset" bigint) RETURNS boolean LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM fq.clients c
         WHERE c.task IS NOT NULL
           AND (c."offset" < in_use."offset"
                OR EXISTS (SELECT FROM fq.deliveries d WHERE d.client_id = c.id AND d."offset" = in_use."offset")
                OR EXISTS (SELECT FROM fq.parked p WHERE p.client_id = c.id AND p."offset" = in_use."offset")
                OR EXISTS (SELECT FROM fq.replays r
                            WHERE r.client_id = c.id AND r.upto >= in_use."offset"
                              AND least(r.next, (SELECT min(a."offset") FROM fq.aside a
                                                  WHERE a.client_id = c.id AND a.replay_id = r.id))
                                  <= in_use."offset")));
END;

-- Let an event be erased, and refuse every other change. To erase is to replace payload and headers, and nothing else.
-- The key may be replaced by a pseudonym too, once no client needs it. The lock keeps clients from moving back, and new
-- ones from beginning, until this transaction ends; `eventbridge erase` takes it before. Who may UPDATE these columns
-- at all is a matter of rights: owner and operator.
CREATE FUNCTION fq.only_erase() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    erased fq.events := OLD;
BEGIN
    erased.payload := fq.erased();
    erased.headers := '{}';
    IF NEW.key <> OLD.key AND NEW.key ~ '^erased-[0-9a-f]{32}$' THEN
        LOCK TABLE fq.clients IN EXCLUSIVE MODE;
        IF fq.in_use(OLD."offset") THEN
            RAISE EXCEPTION 'event % is not done for every client: its key must stay', OLD."offset"
                USING ERRCODE = 'FQ001', HINT = 'its order depends on the key; erase the key when the event is done';
        END IF;
        erased.key := NEW.key;
    END IF;
    IF NEW IS DISTINCT FROM erased THEN
        RAISE EXCEPTION 'events are immutable: % on fq.events is refused', TG_OP
            USING ERRCODE = 'FQ001', HINT = 'publish a new event that corrects the old one; to remove what the events '
                                            'of a key hold, use `eventbridge erase --key KEY`';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER events_erased BEFORE UPDATE ON fq.events
    FOR EACH ROW EXECUTE FUNCTION fq.only_erase();
