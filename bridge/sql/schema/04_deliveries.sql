-- Whoever wants all of a client's looks from `clients.lowest` on, which follows the cursor: what lies below are only rows that
-- were deleted, hundreds of thousands between two vacuums, and more while somebody has an old snapshot open.
-- No foreign key to clients: its check costs more per row than everything else in an INSERT. Whoever writes here holds
-- the client's row lock, and removing a client removes these rows (trigger clients_gone).
CREATE TABLE fq.deliveries (
    client_id        text NOT NULL,
    "offset"         bigint NOT NULL,
    epoch            integer NOT NULL,
    key              text COLLATE "C",
    part             bigint,  -- of a batch that failed: the first offset of the part that goes out together
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
