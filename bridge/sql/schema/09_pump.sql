-- Which pump lingers: the newest one that took the lease. Who moves many clients at once locks the row `skip`.
CREATE TABLE fq.turns (
    name       text CONSTRAINT turns_pkey PRIMARY KEY,
    holder     text NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO fq.turns (name, holder, expires_at) VALUES ('pass_over', '', 'epoch');

-- Wait until a client is to be looked at, or there are events that one has room for: while all windows are full nobody looks for
-- new ones, so that writers get that core. The longer a look takes, because there are many
-- clients, the less often it is taken: this uses a fortieth of a core at most.
CREATE FUNCTION fq.wait_for_work(holder text, seconds double precision, poll_seconds double precision,
                                 OUT work boolean, OUT newest boolean)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET jit = off AS $$  -- decision 14; what is off would seem worth a compilation
DECLARE
    offsets regclass := pg_get_serial_sequence('fq.events', 'offset');
    until   timestamptz := clock_timestamp() + make_interval(secs => seconds);
    began   timestamptz;
    drawn   bigint;
BEGIN
    newest := EXISTS (SELECT FROM fq.turns l WHERE l.name = 'linger' AND l.holder = wait_for_work.holder);
    LOOP
        began := clock_timestamp();
        drawn := coalesce(pg_sequence_last_value(offsets), -1);
        work := EXISTS (SELECT FROM fq.served s
                         WHERE s.dispatched < drawn AND NOT s."full" AND s.state = 'active' OR s.woken);
        EXIT WHEN work OR NOT newest OR began >= until;
        PERFORM pg_sleep(least(greatest(poll_seconds, 40 * extract(epoch FROM clock_timestamp() - began)),
                               greatest(0, extract(epoch FROM until - clock_timestamp()))));
    END LOOP;
END $$;

CREATE TABLE fq.settings (
    name  text CONSTRAINT settings_pkey PRIMARY KEY,
    value text NOT NULL
);
-- Signs the callbacks of deliveries where `bridge_secret` is not set.
INSERT INTO fq.settings (name, value)
    VALUES ('secret', replace(CAST(gen_random_uuid() AS text) || CAST(gen_random_uuid() AS text), '-', ''));
