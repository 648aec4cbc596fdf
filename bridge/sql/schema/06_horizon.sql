-- One row: the highest offset that is final, and the steps that wait for their holders, oldest first. A step such as
-- {"upto": 41, "holders": ["3/17@4711"]} names the transactions that may still commit events at or below 41, each as
-- its virtual transaction @ its pid.
CREATE TABLE fq.horizon (
    one         boolean NOT NULL DEFAULT true CONSTRAINT horizon_pkey PRIMARY KEY CONSTRAINT horizon_one CHECK (one),
    "offset"    bigint NOT NULL DEFAULT -1,
    steps       jsonb NOT NULL DEFAULT '[]',
    updated_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
INSERT INTO fq.horizon DEFAULT VALUES;

-- Return the last offset that was drawn; -1 if there was none.
CREATE FUNCTION fq.last_drawn() RETURNS bigint LANGUAGE sql VOLATILE BEGIN ATOMIC
    SELECT coalesce(pg_sequence_last_value(CAST(pg_get_serial_sequence('fq.events', 'offset') AS regclass)), -1);
END;

-- Return the transactions that may still commit events, the holders. An INSERT locks the table, then the sequence, and
-- only then draws its offset. It keeps the lock on the table until its rows are visible or rolled back, and that on the
-- sequence until its transaction ends. A DELETE locks only the table, and who looks at the sequence only that, so
-- neither holds (decision 38). A prepared transaction has no pid.
CREATE FUNCTION fq.holding() RETURNS TABLE (virtualtransaction text, pid integer) LANGUAGE sql VOLATILE BEGIN ATOMIC
    SELECT l.virtualtransaction, l.pid
      FROM pg_locks l
     WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     GROUP BY l.virtualtransaction, l.pid
    HAVING bool_or(l.relation = CAST('fq.events_offset_seq' AS regclass))
       AND bool_or(l.relation = CAST('fq.events' AS regclass)
                   OR l.relation IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = CAST('fq.events' AS regclass)));
END;

-- Return the holders by name.
CREATE FUNCTION fq.holders() RETURNS text[] LANGUAGE sql VOLATILE BEGIN ATOMIC
    SELECT coalesce(array_agg(h.virtualtransaction || '@' || coalesce(CAST(h.pid AS text), 'prepared')), '{}')
      FROM fq.holding() h;
END;

-- Return those of these holders that still hold. The name of a holder can change twice: PREPARE TRANSACTION takes its
-- pid away, and a restart of the server or a failover renames a prepared transaction to -1/xid. When a holder has
-- vanished, every transaction that may be the same one under another name counts as it.
CREATE FUNCTION fq.still_holding(holders text[], now_holding text[]) RETURNS text[] LANGUAGE sql IMMUTABLE BEGIN ATOMIC
    WITH vanished AS (
        SELECT coalesce(bool_or(h NOT LIKE '%@prepared'), false) AS open,
               coalesce(bool_or(h LIKE '%@prepared' AND h NOT LIKE '-1/%'), false) AS prepared
          FROM unnest(holders) h WHERE h <> ALL (now_holding)
    )
    SELECT coalesce(array_agg(h), '{}') FROM unnest(now_holding) h, vanished
     WHERE h = ANY (holders)
        OR h LIKE '%@prepared' AND (vanished.open OR vanished.prepared AND h LIKE '-1/%');
END;

-- Move the horizon as far as it is known to be final, and return it. This waits out the holders: it reads the last
-- offset that was drawn, and then who holds. When those holders are gone, every offset up to that one is decided.
CREATE FUNCTION fq.advance_horizon() RETURNS bigint LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    state      fq.horizon;
    upto       bigint;
    holding    text[];
    step    jsonb;
    waiting    text[];
    kept       jsonb := '[]';
    final      bigint;
BEGIN
    SELECT * INTO state FROM fq.horizon FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN  -- another session is moving it
        RETURN (SELECT h."offset" FROM fq.horizon h);
    END IF;
    upto := fq.last_drawn();  -- before the holders: an offset drawn after this line belongs to the next step
    IF upto < state."offset" THEN
        RAISE EXCEPTION 'the sequence of fq.events stands at %, behind the horizon %', upto, state."offset"
            USING ERRCODE = 'FQ003',
                  HINT = 'was the database restored, or did a failover lose WAL? nothing is handed over. '
                         '`eventbridge resync` says what was lost, and goes on';
    END IF;
    IF upto = state."offset" THEN
        RETURN upto;
    END IF;
    holding := fq.holders();
    final := state."offset";
    FOR step IN SELECT * FROM jsonb_array_elements(state.steps) LOOP
        waiting := fq.still_holding(ARRAY(SELECT jsonb_array_elements_text(step -> 'holders')), holding);
        IF waiting = '{}' THEN
            final := CAST(step ->> 'upto' AS bigint);
        ELSE
            kept := kept || jsonb_build_object('upto', step -> 'upto', 'holders', to_jsonb(waiting));
        END IF;
    END LOOP;
    IF holding = '{}' THEN
        final := upto;
        kept := '[]';
    ELSIF upto > coalesce(CAST(kept -> -1 ->> 'upto' AS bigint), final) THEN
        IF jsonb_array_length(kept) >= 32 THEN  -- a writer runs for long: the newest step grows
            kept := kept - -1;
        END IF;
        kept := kept || jsonb_build_object('upto', upto, 'holders', to_jsonb(holding));
    END IF;
    IF final <> state."offset" OR kept <> state.steps THEN
        UPDATE fq.horizon SET "offset" = final, steps = kept, updated_at = clock_timestamp();
    END IF;
    RETURN final;
END $$;

-- Return what is final now, and write nothing: for readers that only have SQL. It waits a little for writers that are
-- about to commit, because without a bridge no steps are kept. In a transaction whose snapshot is older than the
-- statement it returns the horizon of that snapshot. A standby does not see the locks of writers, so there it returns
-- the horizon that was replicated.
CREATE FUNCTION fq.read_horizon(wait_ms integer DEFAULT 100) RETURNS bigint LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    final   bigint := (SELECT h."offset" FROM fq.horizon h);
    upto    bigint;
    holders text[];
    until   timestamptz := clock_timestamp() + make_interval(secs => wait_ms / 1000.0);
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' OR pg_is_in_recovery() THEN
        RETURN final;
    END IF;
    upto := fq.last_drawn();
    IF upto <= final THEN
        RETURN final;
    END IF;
    holders := fq.holders();
    LOOP
        IF holders = '{}' THEN
            RETURN upto;
        END IF;
        EXIT WHEN clock_timestamp() >= until;
        PERFORM pg_sleep(0.002);
        holders := fq.still_holding(holders, fq.holders());
    END LOOP;
    RETURN greatest(final, (SELECT h."offset" FROM fq.horizon h));
END $$;
