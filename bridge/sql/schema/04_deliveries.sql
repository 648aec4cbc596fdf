-- The open deliveries: events in the hands of a client. One in the state `done` was committed by its handler's
-- transaction, and its callback is still to come.
-- There is no foreign key to fq.clients: its check costs more per row than all the rest of an INSERT. A transaction
-- that writes here holds the client's row lock, and trigger clients_gone deletes the rows of a removed client.
CREATE TABLE fq.deliveries (
    client_id        text NOT NULL,
    "offset"         bigint NOT NULL,
    epoch            integer NOT NULL,
    key              text COLLATE "C",
    part             bigint,  -- of a batch that failed: the first offset of the half that goes out together next
    attempt          integer NOT NULL DEFAULT 1,
    earlier_attempts integer NOT NULL DEFAULT 0,  -- those that count no more, after a redrive for instance
    state            text NOT NULL DEFAULT 'sent'
                     CONSTRAINT deliveries_state CHECK (state IN ('sent', 'retrying', 'done')),
    due_at           timestamptz NOT NULL,  -- when its lease ends, or its wait for the next attempt
    first_at         timestamptz NOT NULL DEFAULT now(),
    sent_at          timestamptz NOT NULL DEFAULT now(),
    error_type       text,
    error            text,
    traceback        text,
    CONSTRAINT deliveries_pkey PRIMARY KEY (client_id, "offset")
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- The lanes: one row for each key whose next event waits for its predecessor. The events themselves stay in the log.
CREATE TABLE fq.lanes (
    client_id text NOT NULL,
    key       text COLLATE "C" NOT NULL,
    "offset"  bigint NOT NULL,  -- the key's next event
    ready     boolean NOT NULL DEFAULT false,  -- whether its predecessor is finished
    CONSTRAINT lanes_pkey PRIMARY KEY (client_id, key)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE INDEX lanes_offset ON fq.lanes (client_id, "offset");
CREATE INDEX lanes_ready ON fq.lanes (client_id) WHERE ready;

-- The events that were set aside as dead letters, and why.
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
    held       boolean NOT NULL DEFAULT false,  -- whether the later events of its key wait for it
    redrive    boolean NOT NULL DEFAULT false,  -- whether it goes out again as soon as the window has room
    first_at   timestamptz NOT NULL,
    parked_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT parked_pkey PRIMARY KEY (client_id, "offset")
);
CREATE INDEX parked_redrive ON fq.parked (client_id, "offset") WHERE redrive;

-- The replays: old events, from `next` up to `upto`, that go out to one client again beside its cursor. Each replay has
-- an epoch of its own. `started_at` is where its rate counts from; it moves on after a standstill, so that no burst
-- follows.
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

-- The journal: who did what to which client, and when. Rows are never changed or deleted.
CREATE TABLE fq.journal (
    id        bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT journal_pkey PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    by        text NOT NULL,
    client_id text NOT NULL,
    action    text NOT NULL,
    details   jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX journal_client ON fq.journal (client_id, id);
CREATE FUNCTION fq.refuse_rewriting() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: % is refused', TG_OP USING ERRCODE = 'FQ001';
END $$;
CREATE TRIGGER journal_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON fq.journal
    FOR EACH STATEMENT EXECUTE FUNCTION fq.refuse_rewriting();

-- Return a client's deliveries. A statement that wants all of a client's deliveries reads them through this function.
-- It looks from `clients.lowest` on, which follows the cursor, because what lies below are only rows that were deleted:
-- hundreds of thousands between two vacuums, and more while an old snapshot is open (decision 14). The planner puts the
-- body in place of a call. FOR UPDATE does not lock through a function, so FOR UPDATE statements repeat this WHERE
-- clause.
CREATE FUNCTION fq.open(client text) RETURNS SETOF fq.deliveries LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT d.* FROM fq.deliveries d
     WHERE d.client_id = client AND d."offset" >= (SELECT c.lowest FROM fq.clients c WHERE c.id = client);
END;

-- Return the keys of which no event may go out to a client: one is open already, or a parked one holds the key.
CREATE FUNCTION fq.busy_keys(client text) RETURNS TABLE (key text) LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT d.key FROM fq.open(client) d WHERE d.key IS NOT NULL
     UNION ALL
    SELECT p.key FROM fq.parked p WHERE p.client_id = client AND p.held AND p.key IS NOT NULL;
END;

-- Return the replay of a client that is under way: the oldest one. `allowed` is how many events it may hand over now.
-- Its rate counts from `counts_from`, so that what it makes up for after a standstill is at most one second's worth.
CREATE FUNCTION fq.replay_of(client text)
RETURNS TABLE (id bigint, epoch integer, next bigint, upto bigint, filter text, per_second double precision,
               sent bigint, counts_from timestamptz, allowed double precision) LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT r.id, r.epoch, r.next, r.upto, r.filter, r.per_second, r.sent, base.at,
           greatest(0, floor(extract(epoch FROM now() - base.at) * r.per_second + 0.001) + 1 - r.sent)
      FROM fq.replays r
     CROSS JOIN LATERAL (
           SELECT greatest(r.started_at, now()
                           - make_interval(secs => (r.sent + greatest(r.per_second, 1) - 1) / r.per_second)) AS at) base
     WHERE r.client_id = client ORDER BY r.id LIMIT 1;
END;
