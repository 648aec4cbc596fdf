-- The turns: `linger` is the right to wait for work, which the newest tick takes. The one before notices at its next
-- call of fq.wait_for_work, so for up to half a second both may wait. A pump that moves many clients at once locks the
-- row `pass_over`, so that only one does so at a time. `tick` says when a pump was last at work, and on which host the
-- clock differed most from this server's. A row `collector …` or `beat …` says that this one was at work lately. Each
-- bridge has turns of its own, because it has clients of its own. All times are this server's: no two clocks have to
-- agree.
CREATE TABLE fq.turns (
    bridge              text NOT NULL DEFAULT 'bridge',
    name                text NOT NULL,
    holder              text NOT NULL,
    expires_at          timestamptz NOT NULL,
    taken_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    clock_ahead_seconds double precision,
    CONSTRAINT turns_pkey PRIMARY KEY (bridge, name)
) WITH (fillfactor = 50);
INSERT INTO fq.turns (name, holder, expires_at) VALUES ('pass_over', '', 'epoch');

-- The clients that pumps serve. A client is `woken` when the pump must look at its deliveries, lanes and replays, and
-- not only at the log: a wait is over, or the next event of a key may go and the window has room for it. A client is
-- `limited` while the bucket of its rate is as good as empty.
CREATE VIEW fq.served AS
    SELECT c.id, c.bridge, c.dispatched, c.state, c."full", c.rate <> '' AND fq.is_limited(c) AS limited,
           coalesce(c.wake_at <= clock_timestamp(), false)
           OR c.state = 'active' AND c.id IN (SELECT l.client_id FROM fq.lanes l WHERE l.ready)
              AND (NOT c."full" OR (SELECT count(*) FROM fq.open(c.id)) < fq.window_of(c))
              AND NOT (c.rate <> '' AND fq.is_limited(c)) AS woken
      FROM fq.clients c
     WHERE c.task IS NOT NULL AND c.state IN ('active', 'draining');

-- Let the statements that follow in this transaction read no table as a whole (decision 14), and keep the plan of a
-- prepared statement (decision 77). What locks a client joins this, so no client is locked without it. jit goes off
-- too: a scan that is off counts as so expensive that compiling it would seem worth while.
CREATE FUNCTION fq.without_table_scans(OUT done boolean) LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
            set_config('plan_cache_mode', 'force_generic_plan', true);
    done := true;
END $$;

-- Wait until the pump must look at a client of its bridge, there are events that one has room for, or a scheduled event
-- is `due`. While all windows are full nothing looks for new events, so that writers get that core. With many clients a
-- look takes longer, and is then taken less often: waiting uses about a fortieth of a core. Of two looks the quicker
-- one counts, because a look is held up now and then; after the first look of a call the pause is a fourth. The look at
-- what is due has a pace of its own, and is taken 20 times a second at most: an old snapshot keeps the rows of all that
-- was due before in its way, and no client is to wait for that. `due_rest` are the seconds until it may be taken again,
-- from call to call: ten at most, because a look may have been held up by a lock. The turn is looked at once, before
-- the wait. For the settings see fq.without_table_scans.
CREATE FUNCTION fq.wait_for_work(bridge text, holder text, seconds double precision, poll_seconds double precision,
                                 look_for_due boolean, INOUT due_rest double precision DEFAULT 0,
                                 OUT work boolean, OUT newest boolean, OUT due boolean)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    offsets regclass := pg_get_serial_sequence('fq.events', 'offset');
    until   timestamptz := clock_timestamp() + make_interval(secs => seconds);
    began   timestamptz;
    looked  timestamptz;
    due_at  timestamptz := clock_timestamp() + make_interval(secs => due_rest);
    rest    double precision := due_rest;
    took    double precision;
    before  double precision;  -- what the look before took
    drawn   bigint;
BEGIN
    due := false;
    newest := EXISTS (SELECT FROM fq.turns t WHERE t.bridge = wait_for_work.bridge AND t.name = 'linger'
                                               AND t.holder = wait_for_work.holder);
    LOOP
        began := clock_timestamp();
        drawn := coalesce(pg_sequence_last_value(offsets), -1);
        work := EXISTS (SELECT FROM fq.served s
                         WHERE s.bridge = wait_for_work.bridge
                           AND (s.dispatched < drawn AND NOT s."full" AND NOT s.limited AND s.state = 'active'
                                OR s.woken));
        looked := clock_timestamp();
        IF look_for_due AND looked >= due_at THEN
            due := EXISTS (SELECT FROM fq.scheduled s WHERE coalesce(s.held_until, s.due_at) <= clock_timestamp());
            rest := greatest(0.05, 40 * extract(epoch FROM clock_timestamp() - looked));
            due_at := clock_timestamp() + make_interval(secs => rest);
        END IF;
        EXIT WHEN work OR due OR NOT newest OR began >= until;
        took := extract(epoch FROM looked - began);
        PERFORM pg_sleep(least(greatest(poll_seconds, 40 * least(took, coalesce(before, took / 4))),
                               greatest(0, extract(epoch FROM until - clock_timestamp()))));
        before := took;
    END LOOP;
    due_rest := least(rest, 10, greatest(0, extract(epoch FROM due_at - clock_timestamp())));
END $$;

-- Settings that the database keeps. `secret` signs the callbacks of deliveries where `bridge_secret` is not set.
CREATE TABLE fq.settings (
    name   text CONSTRAINT settings_pkey PRIMARY KEY,
    value  text NOT NULL,
    set_at timestamptz NOT NULL DEFAULT now()
);

-- Note when a setting gets another value.
CREATE FUNCTION fq.note_set() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.set_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER settings_set BEFORE UPDATE OF value ON fq.settings
    FOR EACH ROW WHEN (NEW.value <> OLD.value) EXECUTE FUNCTION fq.note_set();
INSERT INTO fq.settings (name, value)
    VALUES ('secret', replace(CAST(gen_random_uuid() AS text) || CAST(gen_random_uuid() AS text), '-', ''));
