-- Events --------------------------------------------------------------------------------------------------------

-- GENERATED ALWAYS and CACHE 1 are what the horizon stands on: an offset is only ever drawn by an INSERT that already
-- holds its lock on the table, and in the order of the draws.
CREATE TABLE fq.events (
    "offset"   bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) CONSTRAINT events_pkey PRIMARY KEY,
    topic      text COLLATE "C" NOT NULL DEFAULT 'event'
               CONSTRAINT events_topic CHECK (topic ~ '^[^.*#[:space:]]+(\.[^.*#[:space:]]+)*$'),
    key        text COLLATE "C",
    payload    jsonb NOT NULL DEFAULT '{}',
    headers    jsonb NOT NULL DEFAULT '{}' CONSTRAINT events_headers CHECK (jsonb_typeof(headers) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX events_topic_offset ON fq.events (topic, "offset");
CREATE INDEX events_key_offset ON fq.events (key, "offset") WHERE key IS NOT NULL;
CREATE INDEX events_created_at ON fq.events USING brin (created_at);

CREATE FUNCTION fq.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are immutable: % on fq.events is refused', TG_OP
        USING ERRCODE = 'FQ001', HINT = 'publish a new event that corrects the old one';
END $$;
CREATE TRIGGER events_immutable BEFORE UPDATE OR TRUNCATE ON fq.events
    FOR EACH STATEMENT EXECUTE FUNCTION fq.refuse_change();

CREATE FUNCTION fq.refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    behind text;
BEGIN
    SELECT c.id INTO behind FROM fq.clients c WHERE c."offset" < OLD."offset" ORDER BY c."offset" LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event % is not done for client "%"', OLD."offset", behind
            USING ERRCODE = 'FQ001', HINT = 'delete only events at or below the cursor of every client';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER events_kept BEFORE DELETE ON fq.events
    FOR EACH ROW EXECUTE FUNCTION fq.refuse_delete();

-- Topics --------------------------------------------------------------------------------------------------------

-- AMQP topic patterns as one regular expression over '.' || topic: `*` is one word, `#` is any number of words.
CREATE FUNCTION fq.topics_filter(patterns text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT '^(' || string_agg(
        (SELECT string_agg(CASE word WHEN '#' THEN '(\.[^.]+)*' WHEN '*' THEN '\.[^.]+'
                           ELSE '\.' || regexp_replace(word, '([^[:alnum:]_])', '\\\1', 'g') END, '' ORDER BY nth)
           FROM regexp_split_to_table(pattern, '\.') WITH ORDINALITY AS words (word, nth)), '|' ORDER BY pattern) || ')$'
      FROM unnest(patterns) AS pattern
$$;

CREATE FUNCTION fq.topics_valid(patterns text[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT cardinality(patterns) > 0 AND array_position(patterns, NULL) IS NULL
       AND bool_and(pattern COLLATE "C" ~ '^(\*|#|[^.*#[:space:]]+)(\.(\*|#|[^.*#[:space:]]+))*$')
      FROM unnest(patterns) AS pattern
$$;

-- Clients -------------------------------------------------------------------------------------------------------

-- A row without a task is a plain SQL reader that moves its own cursor; with a task, the bridge drives it.
CREATE TABLE fq.clients (
    id           text CONSTRAINT clients_pkey PRIMARY KEY
                 CONSTRAINT clients_id CHECK (id ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]*$' AND length(id) <= 100 OR task IS NULL),
    "offset"     bigint NOT NULL DEFAULT -1,
    dispatched   bigint NOT NULL DEFAULT -1,
    lowest       bigint NOT NULL DEFAULT -1,  -- none of its deliveries is below
    epoch        integer NOT NULL DEFAULT 1,
    last_epoch   integer NOT NULL DEFAULT 1,
    state        text NOT NULL DEFAULT 'active'
                 CONSTRAINT clients_state CHECK (state IN ('active', 'draining', 'paused', 'halted')),
    state_reason text,
    state_by     text,
    state_at     timestamptz,
    task         text,
    routes       jsonb NOT NULL DEFAULT '[]' CONSTRAINT clients_routes CHECK (jsonb_typeof(routes) = 'array'),
    queue        text NOT NULL DEFAULT 'celery' CONSTRAINT clients_queue CHECK (queue <> ''),
    call         text NOT NULL DEFAULT 'event' CONSTRAINT clients_call CHECK (call IN ('event', 'payload', 'kwargs')),
    serializer   text NOT NULL DEFAULT 'json',
    topics       text[] NOT NULL DEFAULT '{#}',
    filter       text NOT NULL DEFAULT '',  -- of the topics, by a trigger
    ordering     text NOT NULL DEFAULT 'key' CONSTRAINT clients_ordering CHECK (ordering IN ('key', 'none', 'strict')),
    "window"     integer NOT NULL DEFAULT 1000 CONSTRAINT clients_window CHECK ("window" >= 1),
    ack_timeout_seconds double precision NOT NULL DEFAULT 3600
                 CONSTRAINT clients_ack_timeout CHECK (ack_timeout_seconds > 0),
    max_attempts integer NOT NULL DEFAULT 5 CONSTRAINT clients_max_attempts CHECK (max_attempts >= 1),
    backoff_seconds double precision NOT NULL DEFAULT 1 CONSTRAINT clients_backoff CHECK (backoff_seconds >= 0),
    backoff_max_seconds double precision NOT NULL DEFAULT 600
                 CONSTRAINT clients_backoff_max CHECK (backoff_max_seconds >= 0),
    on_exhausted text NOT NULL DEFAULT 'park'
                 CONSTRAINT clients_on_exhausted CHECK (on_exhausted IN ('park', 'hold-key', 'halt')),
    batch        integer NOT NULL DEFAULT 1 CONSTRAINT clients_batch CHECK (batch >= 1),
    batch_wait_ms integer NOT NULL DEFAULT 0 CONSTRAINT clients_batch_wait CHECK (batch_wait_ms >= 0),
    batch_as     text NOT NULL DEFAULT 'list' CONSTRAINT clients_batch_as CHECK (batch_as IN ('list', 'calls')),
    commit       text NOT NULL DEFAULT 'callback' CONSTRAINT clients_commit CHECK (commit IN ('callback', 'in-process')),
    delivered    bigint NOT NULL DEFAULT 0,
    succeeded    bigint NOT NULL DEFAULT 0,
    wake_at      timestamptz DEFAULT 'epoch',
    "full"       boolean NOT NULL DEFAULT false,
    trouble      text,
    trouble_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- The last epoch of clients that were removed: who comes back under the same id must not be settled by old outcomes.
CREATE TABLE fq.epochs (
    client_id text CONSTRAINT epochs_pkey PRIMARY KEY,
    epoch     integer NOT NULL
);

-- Deliveries ----------------------------------------------------------------------------------------------------

-- Whoever wants all of a client's looks from `clients.lowest` on, which follows the cursor: what lies below are only rows that
-- were deleted, hundreds of thousands between two vacuums, and more while somebody has an old snapshot open.
-- No foreign key to clients: its check costs more per row than everything else in an INSERT. Whoever writes here holds
-- the client's row lock, and removing a client removes these rows (trigger clients_gone).
CREATE TABLE fq.deliveries (
    client_id        text NOT NULL,
    "offset"         bigint NOT NULL,
    epoch            integer NOT NULL,
    key              text COLLATE "C",
    batch            bigint,
    attempt          integer NOT NULL DEFAULT 1,
    earlier_attempts integer NOT NULL DEFAULT 0,
    state            text NOT NULL DEFAULT 'sent' CONSTRAINT deliveries_state CHECK (state IN ('sent', 'retrying', 'done')),
    due_at           timestamptz NOT NULL,
    first_at         timestamptz NOT NULL DEFAULT now(),
    sent_at          timestamptz NOT NULL DEFAULT now(),
    error_type       text,
    error            text,
    traceback        text,
    CONSTRAINT deliveries_pkey PRIMARY KEY (client_id, "offset")
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- One row per key whose next event waits for its predecessor: the events themselves stay in the log.
CREATE TABLE fq.lanes (
    client_id text NOT NULL,
    key       text COLLATE "C" NOT NULL,
    "offset"  bigint NOT NULL,
    ready     boolean NOT NULL DEFAULT false,
    CONSTRAINT lanes_pkey PRIMARY KEY (client_id, key)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE INDEX lanes_offset ON fq.lanes (client_id, "offset");
CREATE INDEX lanes_ready ON fq.lanes (client_id) WHERE ready;

CREATE TABLE fq.parked (
    client_id  text NOT NULL,
    "offset"   bigint NOT NULL,
    epoch      integer NOT NULL,
    key        text COLLATE "C",
    attempt    integer NOT NULL,
    attempts   integer NOT NULL,
    error_type text,
    error      text,
    traceback  text,
    reason     text NOT NULL,
    held       boolean NOT NULL DEFAULT false,
    redrive    boolean NOT NULL DEFAULT false,
    first_at   timestamptz NOT NULL,
    parked_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT parked_pkey PRIMARY KEY (client_id, "offset")
);
-- What somebody wants handed over again, as soon as the window has room.
CREATE INDEX parked_redrive ON fq.parked (client_id, "offset") WHERE redrive;

-- Old events on their way to one client again, beside its cursor: `next` up to `upto`, as a generation of their own.
-- `started_at` is where the rate counts from: after a standstill it moves on, so that nothing is made up for in a burst.
CREATE TABLE fq.replays (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT replays_pkey PRIMARY KEY,
    client_id  text NOT NULL,
    epoch      integer NOT NULL,
    next       bigint NOT NULL,
    upto       bigint NOT NULL,
    filter     text NOT NULL,
    per_second double precision NOT NULL CONSTRAINT replays_per_second CHECK (per_second > 0),
    sent       bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX replays_client ON fq.replays (client_id, id);

-- What people did to clients, for good: who, when, what.
CREATE TABLE fq.journal (
    id        bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT journal_pkey PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    by        text NOT NULL,
    client_id text NOT NULL,
    action    text NOT NULL,
    details   jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX journal_client ON fq.journal (client_id, id);
CREATE FUNCTION fq.refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: % is refused', TG_OP USING ERRCODE = 'FQ001';
END $$;
CREATE TRIGGER journal_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON fq.journal
    FOR EACH STATEMENT EXECUTE FUNCTION fq.refuse_rewriting();

-- The cursor --------------------------------------------------------------------------------------------------

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
            USING ERRCODE = 'FQ002', HINT = format('use `bridge seek %s --to %s`', NEW.id, NEW."offset");
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

-- The horizon -------------------------------------------------------------------------------------------------

-- One row: the highest offset that is final, and the generations that are not drained yet, oldest first:
-- [{"upto": 41, "holders": ["3/17@4711"]}, ...] (virtual transaction @ pid of who may still commit at or below `upto`).
CREATE TABLE fq.horizon (
    one         boolean NOT NULL DEFAULT true CONSTRAINT horizon_pkey PRIMARY KEY CONSTRAINT horizon_one CHECK (one),
    "offset"    bigint NOT NULL DEFAULT -1,
    generations jsonb NOT NULL DEFAULT '[]',
    updated_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
INSERT INTO fq.horizon DEFAULT VALUES;

CREATE FUNCTION fq.last_drawn() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(pg_sequence_last_value(CAST(pg_get_serial_sequence('fq.events', 'offset') AS regclass)), -1)
$$;

-- Who may still commit events: an INSERT takes this lock before it draws its offset and keeps it until its rows are
-- visible. A prepared transaction has no pid.
CREATE FUNCTION fq.holders() RETURNS text[] LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(array_agg(DISTINCT l.virtualtransaction || '@' || coalesce(CAST(l.pid AS text), 'prepared')), '{}')
      FROM pg_locks l
     WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND l.relation IN (SELECT CAST('fq.events' AS regclass)
                          UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = CAST('fq.events' AS regclass))
$$;

-- Of these holders, who is still there. A holder's name changes twice: PREPARE TRANSACTION takes its pid away, and a
-- restart of the server, or a failover, renames what is prepared to -1/xid. When a holder has vanished, everyone who may
-- have been it counts as it.
CREATE FUNCTION fq.still_holding(holders text[], now_holding text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    WITH vanished AS (
        SELECT coalesce(bool_or(h NOT LIKE '%@prepared'), false) AS open,
               coalesce(bool_or(h LIKE '%@prepared' AND h NOT LIKE '-1/%'), false) AS prepared
          FROM unnest(holders) h WHERE h <> ALL (now_holding)
    )
    SELECT coalesce(array_agg(h), '{}') FROM unnest(now_holding) h, vanished
     WHERE h = ANY (holders)
        OR h LIKE '%@prepared' AND (vanished.open OR vanished.prepared AND h LIKE '-1/%')
$$;

-- Move the horizon as far as it is known to be final, and return it. Draining the holders: read what was drawn, then who
-- holds; when those are gone, everything up to what was drawn is decided.
CREATE FUNCTION fq.advance_horizon() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    state      fq.horizon;
    upto       bigint;
    holding    text[];
    generation jsonb;
    waiting    text[];
    kept       jsonb := '[]';
    final      bigint;
BEGIN
    SELECT * INTO state FROM fq.horizon FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN  -- somebody else is at it
        RETURN (SELECT h."offset" FROM fq.horizon h);
    END IF;
    upto := fq.last_drawn();  -- before the holders: an offset drawn after this line belongs to the next generation
    IF upto < state."offset" THEN
        RAISE EXCEPTION 'the sequence of fq.events stands at %, behind the horizon %', upto, state."offset"
            USING ERRCODE = 'FQ003', HINT = 'was the database restored? events may have been lost: see `bridge resync`';
    END IF;
    IF upto = state."offset" THEN
        RETURN upto;
    END IF;
    holding := fq.holders();
    final := state."offset";
    FOR generation IN SELECT * FROM jsonb_array_elements(state.generations) LOOP
        waiting := fq.still_holding(ARRAY(SELECT jsonb_array_elements_text(generation -> 'holders')), holding);
        IF waiting = '{}' THEN
            final := CAST(generation ->> 'upto' AS bigint);
        ELSE
            kept := kept || jsonb_build_object('upto', generation -> 'upto', 'holders', to_jsonb(waiting));
        END IF;
    END LOOP;
    IF holding = '{}' THEN
        final := upto;
        kept := '[]';
    ELSIF upto > coalesce(CAST(kept -> -1 ->> 'upto' AS bigint), final) THEN
        IF jsonb_array_length(kept) >= 32 THEN  -- a long straggler: the newest generation grows, the older ones stay
            kept := kept - -1;
        END IF;
        kept := kept || jsonb_build_object('upto', upto, 'holders', to_jsonb(holding));
    END IF;
    IF final <> state."offset" OR kept <> state.generations THEN
        UPDATE fq.horizon SET "offset" = final, generations = kept, updated_at = clock_timestamp();
    END IF;
    RETURN final;
END $$;

-- What is final now, without writing anything: for readers that only have SQL. It waits a little for writers that are
-- about to commit, because without a bridge nobody keeps generations. Under a snapshot older than the statement only
-- what was final in that snapshot counts; on a standby, which does not see the writers' locks, only what it was told.
CREATE FUNCTION fq.read_horizon(wait_ms integer DEFAULT 100) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
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

-- Messages ----------------------------------------------------------------------------------------------------

-- An event as JSON text, in the shape that a client's task is called with. Postgres makes the text, nobody parses it.
CREATE FUNCTION fq.body("offset" bigint, topic text, key text, payload jsonb, headers jsonb, created_at timestamptz,
                        client text, attempt integer, call text)
RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN call = 'event' THEN  -- put together by hand: json_build_object looks up every type anew
        '{"offset": ' || "offset" || ', "topic": ' || to_json(topic) || ', "key": ' || coalesce(CAST(to_json(key) AS text), 'null')
        || ', "payload": ' || payload || ', "headers": ' || headers
        || ', "created_at": "' || to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
        || '", "client": ' || to_json(client) || ', "attempt": ' || attempt || '}'
    ELSE CAST(payload AS text) END
$$;

-- SQL for clients in other languages ------------------------------------------------------------------------------

CREATE FUNCTION fq.put(payload jsonb DEFAULT '{}', topic text DEFAULT 'event', key text DEFAULT NULL)
RETURNS fq.events LANGUAGE sql VOLATILE AS $$
    INSERT INTO fq.events (payload, topic, key) VALUES ($1, $2, $3) RETURNING *
$$;

CREATE FUNCTION fq.get(client text) RETURNS SETOF fq.events LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    final bigint := fq.read_horizon();  -- a statement of its own, so that the one below sees all that is final
BEGIN
    RETURN QUERY
        SELECT e.* FROM fq.events e
         WHERE e."offset" > coalesce((SELECT c."offset" FROM fq.clients c WHERE c.id = client), -1)
           AND e."offset" <= final
         ORDER BY e."offset" LIMIT 1;
END $$;

CREATE FUNCTION fq.commit(client text, "offset" bigint) RETURNS fq.clients LANGUAGE sql VOLATILE AS $$
    INSERT INTO fq.clients (id, "offset") VALUES ($1, $2)
        ON CONFLICT ON CONSTRAINT clients_pkey DO UPDATE SET "offset" = greatest(clients."offset", EXCLUDED."offset")
        RETURNING *
$$;

-- Housekeeping ------------------------------------------------------------------------------------------------

-- Which pump lingers: the newest one that took the lease. Who moves many clients at once locks the row `skip`.
CREATE TABLE fq.leases (
    name       text CONSTRAINT leases_pkey PRIMARY KEY,
    holder     text NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO fq.leases (name, holder, expires_at) VALUES ('skip', '', 'epoch');

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
    newest := EXISTS (SELECT FROM fq.leases l WHERE l.name = 'linger' AND l.holder = wait_for_work.holder);
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
