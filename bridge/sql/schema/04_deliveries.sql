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
    earlier_attempts integer NOT NULL DEFAULT 0,  -- those that count no more: before a redrive, or recalled
    state            text NOT NULL DEFAULT 'sent'
                     CONSTRAINT deliveries_state CHECK (state IN ('sent', 'retrying', 'done')),
    due_at           timestamptz NOT NULL,  -- when its lease ends, or its wait for the next attempt
    first_at         timestamptz NOT NULL DEFAULT now(),
    sent_at          timestamptz NOT NULL DEFAULT now(),
    error_type       text,
    error            text,
    traceback        text,
    waited_at        timestamptz,  -- when its lease had run out, and its message might still wait in the queue
    behind           bigint,  -- what was handed over after it and out at that moment; NULL once it has left the queue
    losses           integer,  -- how many times in a row its message was found lost
    failures         jsonb,  -- what is kept of its failed attempts: see fq.with_failure
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
    failures   jsonb,  -- as of a delivery
    CONSTRAINT parked_pkey PRIMARY KEY (client_id, "offset")
);
CREATE INDEX parked_redrive ON fq.parked (client_id, "offset") WHERE redrive;
CREATE INDEX parked_offset ON fq.parked ("offset");  -- for fq.held_events

-- The replays: old events, from `next` up to `upto`, that go out to one client again beside its cursor. Each replay has
-- an epoch of its own. `started_at` is where its rate counts from; it moves on after a standstill, so that no burst
-- follows. Replays of one client take turns: the one that was served longest ago comes first.
CREATE TABLE fq.replays (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT replays_pkey PRIMARY KEY,
    client_id  text NOT NULL,
    epoch      integer NOT NULL,
    next       bigint NOT NULL,
    upto       bigint NOT NULL,
    filter     text NOT NULL,
    per_second double precision NOT NULL CONSTRAINT replays_per_second CHECK (per_second > 0),
    sent       bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    served_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX replays_client ON fq.replays (client_id, id);

-- The events below a replay's `next` that wait aside, because they are open or their key is busy. A lane stands for all
-- later events of its key too, up to `next`. There is no uniqueness: after a change of `ordering` an event may stand in
-- a lane and by itself, and then goes out twice.
CREATE TABLE fq.aside (
    client_id text NOT NULL,
    replay_id bigint NOT NULL,
    "offset"  bigint NOT NULL,
    key       text COLLATE "C",
    lane      boolean NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE INDEX aside_offset ON fq.aside (client_id, replay_id, "offset");

-- The journal: who did what to which client, and when. Rows are never changed, and deleted only
-- where a row that stays says in which file of an archive they are.
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
CREATE TRIGGER journal_kept BEFORE UPDATE OR TRUNCATE ON fq.journal
    FOR EACH STATEMENT EXECUTE FUNCTION fq.refuse_rewriting();
CREATE FUNCTION fq.only_archived() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM gone g
                WHERE NOT EXISTS (SELECT FROM fq.journal j
                                   WHERE j.action = 'archive journal' AND g.id < j.id
                                     AND g.id BETWEEN CAST(j.details ->> 'first' AS bigint)
                                                  AND CAST(j.details ->> 'last' AS bigint))) THEN
        RAISE EXCEPTION 'the journal is append-only: DELETE is refused'
            USING ERRCODE = 'FQ001',
                  HINT = '`eventbridge journal --archive DIR --older-than 365d` moves old entries into files';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER journal_archived AFTER DELETE ON fq.journal REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION fq.only_archived();

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

-- Return a client's replays. `allowed` is how many events each may hand over now. Its rate counts from `counts_from`,
-- so that what it makes up for after a standstill is at most one second's worth. Where the server's clock was set back,
-- it counts from now, and nothing stands still.
CREATE FUNCTION fq.replays_of(client text)
RETURNS TABLE (id bigint, epoch integer, next bigint, upto bigint, filter text, per_second double precision,
               sent bigint, counts_from timestamptz, allowed double precision) LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT r.id, r.epoch, r.next, r.upto, r.filter, r.per_second, r.sent, base.at,
           greatest(0, floor(extract(epoch FROM now() - base.at) * r.per_second + 0.001) + 1 - r.sent)
      FROM fq.replays r
     CROSS JOIN LATERAL (
           SELECT greatest(CASE WHEN r.started_at <= now() THEN r.started_at END, now()
                           - make_interval(secs => (r.sent + greatest(r.per_second, 1) - 1) / r.per_second)) AS at) base
     WHERE r.client_id = client;
END;

-- Return the keys of which no replayed event may go out to a client: the busy ones, and those of which newer events
-- wait.
CREATE FUNCTION fq.taken_keys(client text) RETURNS TABLE (key text) LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT b.key FROM fq.busy_keys(client) b UNION ALL SELECT l.key FROM fq.lanes l WHERE l.client_id = client;
END;

-- Return the next events of a replay, and which of them must wait: those that are open, or whose key is taken by
-- another event, one of the same replay included. What is covered by a lane of the replay waits there. Parked events
-- stay parked.
CREATE FUNCTION fq.replay_slice(client text, replay bigint, slice bigint, client_filter text, ordered boolean)
RETURNS TABLE ("offset" bigint, key text, lane boolean, covered boolean, waits boolean) LANGUAGE sql STABLE BEGIN ATOMIC
    WITH looked AS MATERIALIZED (
        SELECT e."offset", e.key, ordered AND e.key IS NOT NULL AS lane
          FROM fq.replays r CROSS JOIN LATERAL (
               SELECT * FROM fq.events WHERE "offset" >= r.next AND "offset" <= r.upto ORDER BY "offset" LIMIT slice) e
         WHERE r.id = replay AND '.' || e.topic ~ r.filter AND '.' || e.topic ~ client_filter
           AND NOT EXISTS (SELECT FROM fq.parked p WHERE p.client_id = client AND p."offset" = e."offset")
    ), held AS MATERIALIZED (
        SELECT l.*, l.lane AND l.key IN (SELECT a.key FROM fq.aside a
                                          WHERE a.client_id = client AND a.replay_id = replay AND a.lane) AS covered
          FROM looked l
    )
    SELECT h."offset", h.key, h.lane, h.covered,
           h.covered OR h."offset" IN (SELECT d."offset" FROM fq.open(client) d)
           OR h.lane AND (h.key IN (SELECT t.key FROM fq.taken_keys(client) t)
                          OR row_number() OVER (PARTITION BY h.key ORDER BY h."offset") > 1)
      FROM held h;
END;

-- Return the event that may go out of a replay for one that waits aside, and the one after it that goes on waiting. Of
-- a lane these are the next two of its key; of a single event it is the event itself. No row if it is not in the log.
-- Rows are compared to force the index of keys: else Postgres may look through the log for them.
CREATE FUNCTION fq.next_aside(client text, key text, lane boolean, first bigint, before bigint, filter text,
                              client_filter text)
RETURNS TABLE (next bigint, later bigint) LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT min(two."offset"), nullif(max(two."offset"), min(two."offset"))
      FROM (SELECT e."offset" FROM fq.events e
             WHERE lane AND e.key IS NOT NULL AND (e.key, e."offset") >= (next_aside.key, first)
               AND (e.key, e."offset") < (next_aside.key, before)
               AND '.' || e.topic ~ filter AND '.' || e.topic ~ client_filter
               AND NOT EXISTS (SELECT FROM fq.parked p WHERE p.client_id = client AND p."offset" = e."offset")
             ORDER BY e.key, e."offset" LIMIT 2) two
    HAVING lane
     UNION ALL
    SELECT e."offset", NULL FROM fq.events e
     WHERE NOT lane AND e."offset" = first
       AND NOT EXISTS (SELECT FROM fq.parked p WHERE p.client_id = client AND p."offset" = e."offset");
END;

-- The parked events with the topic, and with an id in one column, for Django's admin, which takes no key of two. Who
-- does not ask for the topic does not pay for it: the planner drops the join.
CREATE VIEW fq.parked_events AS
    SELECT p.client_id || ':' || p."offset" AS id, p.client_id, p."offset", e.topic, p.key, p.epoch, p.attempts,
           p.error_type, p.error, p.traceback, p.reason, p.held, p.redrive, p.first_at, p.parked_at
      FROM fq.parked p LEFT JOIN fq.events e ON e."offset" = p."offset";
