-- Return the `wake_at` of a client that the pump must look at as soon as it can: a time that is always over.
CREATE FUNCTION fq.at_once() RETURNS timestamptz LANGUAGE sql IMMUTABLE
BEGIN ATOMIC SELECT CAST('epoch' AS timestamptz); END;

-- The types of a client's settings, with their bounds. Postgres reads the CHECKs of a table anew for each statement
-- that writes a row, and every pass and every batch of outcomes writes its client's. Those of a type count only where
-- the column is set (decision 57).
CREATE DOMAIN fq.client_bridge AS text CONSTRAINT clients_bridge CHECK (VALUE <> '');
CREATE DOMAIN fq.client_routes AS jsonb CONSTRAINT clients_routes CHECK (jsonb_typeof(VALUE) = 'array');
CREATE DOMAIN fq.client_queue AS text CONSTRAINT clients_queue CHECK (VALUE <> '' AND octet_length(VALUE) <= 255);
CREATE DOMAIN fq.client_window AS integer CONSTRAINT clients_window CHECK (VALUE >= 1);
CREATE DOMAIN fq.client_ack_timeout_seconds AS double precision CONSTRAINT clients_ack_timeout CHECK (VALUE > 0);
CREATE DOMAIN fq.client_max_attempts AS integer CONSTRAINT clients_max_attempts CHECK (VALUE >= 1);
CREATE DOMAIN fq.client_backoff_seconds AS double precision CONSTRAINT clients_backoff CHECK (VALUE >= 0);
CREATE DOMAIN fq.client_backoff_max_seconds AS double precision CONSTRAINT clients_backoff_max CHECK (VALUE >= 0);
CREATE DOMAIN fq.client_batch AS integer CONSTRAINT clients_batch CHECK (VALUE >= 1);
CREATE DOMAIN fq.client_batch_wait_ms AS integer CONSTRAINT clients_batch_wait CHECK (VALUE >= 0);
CREATE DOMAIN fq.client_rate AS text
    CONSTRAINT clients_rate CHECK (VALUE ~ '^(|[0-9]{1,9}(\.[0-9]{1,6})?/[smh])$' AND VALUE !~ '^[0.]+/');
CREATE DOMAIN fq.client_burst AS integer CONSTRAINT clients_burst CHECK (VALUE >= 0);
CREATE DOMAIN fq.client_priority AS integer CONSTRAINT clients_priority CHECK (VALUE BETWEEN 0 AND 9);
CREATE DOMAIN fq.client_time_limit_seconds AS double precision CONSTRAINT clients_time_limit CHECK (VALUE >= 0);
CREATE DOMAIN fq.client_state AS text
    CONSTRAINT clients_state CHECK (VALUE IN ('active', 'draining', 'paused', 'halted'));
CREATE DOMAIN fq.client_call AS text
    CONSTRAINT clients_call CHECK (VALUE IN ('event', 'payload', 'kwargs', 'cloudevent'));
CREATE DOMAIN fq.client_ordering AS text CONSTRAINT clients_ordering CHECK (VALUE IN ('key', 'none', 'strict'));
CREATE DOMAIN fq.client_on_exhausted AS text
    CONSTRAINT clients_on_exhausted CHECK (VALUE IN ('park', 'hold-key', 'halt'));
CREATE DOMAIN fq.client_batch_as AS text CONSTRAINT clients_batch_as CHECK (VALUE IN ('list', 'calls'));
CREATE DOMAIN fq.client_report_by AS text CONSTRAINT clients_report_by CHECK (VALUE IN ('callback', 'in-process'));
CREATE DOMAIN fq.client_soft_time_limit_seconds AS double precision
    CONSTRAINT clients_soft_time_limit CHECK (VALUE >= 0);

-- The clients. The bridge drives a client that has a task. A row without a task is a plain SQL reader: it moves its own
-- cursor. fillfactor leaves room in each page, because every pass and every batch of outcomes writes its client's row.
CREATE TABLE fq.clients (
    id           text CONSTRAINT clients_pkey PRIMARY KEY CONSTRAINT clients_id
                 CHECK (id ~ '^[A-Za-z0-9_][A-Za-z0-9_.-]*$' AND length(id) <= 100 OR task IS NULL),
    "offset"     bigint NOT NULL DEFAULT -1,  -- the committed cursor
    dispatched   bigint NOT NULL DEFAULT -1,  -- how far the log was handed over
    lowest       bigint NOT NULL DEFAULT -1,  -- none of its deliveries lies below: see fq.open
    epoch        integer NOT NULL DEFAULT 1,
    last_epoch   integer NOT NULL DEFAULT 1,  -- the highest that it or one of its replays has had
    state        fq.client_state NOT NULL DEFAULT 'active',
    state_reason text,
    state_by     text,
    state_at     timestamptz,
    bridge       fq.client_bridge NOT NULL DEFAULT 'bridge',  -- which serves it
    released_at  timestamptz,  -- since when it does not hold the log any more; NULL: it holds what it has not finished
    task         text,
    routes       fq.client_routes NOT NULL DEFAULT '[]',
    queue        fq.client_queue NOT NULL DEFAULT 'celery',
    call         fq.client_call NOT NULL DEFAULT 'event',
    serializer   text NOT NULL DEFAULT 'json',
    topics       text[] NOT NULL DEFAULT '{#}',
    filter       text NOT NULL DEFAULT '',  -- the topics as one regular expression: trigger clients_filter sets it
    ordering     fq.client_ordering NOT NULL DEFAULT 'key',
    "window"     fq.client_window NOT NULL DEFAULT 1000,
    ack_timeout_seconds fq.client_ack_timeout_seconds NOT NULL DEFAULT 3600,
    max_attempts fq.client_max_attempts NOT NULL DEFAULT 5,
    backoff_seconds fq.client_backoff_seconds NOT NULL DEFAULT 1,
    backoff_max_seconds fq.client_backoff_max_seconds NOT NULL DEFAULT 600,
    on_exhausted fq.client_on_exhausted NOT NULL DEFAULT 'park',
    batch        fq.client_batch NOT NULL DEFAULT 1,
    batch_wait_ms fq.client_batch_wait_ms NOT NULL DEFAULT 0,
    batch_as     fq.client_batch_as NOT NULL DEFAULT 'list',
    report_by    fq.client_report_by NOT NULL DEFAULT 'callback',
    rate         fq.client_rate NOT NULL DEFAULT '',
    burst        fq.client_burst NOT NULL DEFAULT 0,
    priority     fq.client_priority NOT NULL DEFAULT 0,
    headers      text[] NOT NULL DEFAULT '{}',
    time_limit_seconds fq.client_time_limit_seconds NOT NULL DEFAULT 0,
    soft_time_limit_seconds fq.client_soft_time_limit_seconds NOT NULL DEFAULT 0,
    tokens       double precision,  -- of the bucket of its rate, at tokens_at: see fq.tokens_of; NULL: none spent yet
    tokens_at    timestamptz,
    declared_by  text,  -- the app whose code declares it; NULL where a person or plain SQL has registered it
    undeclared_at timestamptz,  -- since when that app has run without declaring it
    delivered    bigint NOT NULL DEFAULT 0,
    succeeded    bigint NOT NULL DEFAULT 0,
    failed       bigint NOT NULL DEFAULT 0,  -- these four are for metrics only
    duplicates   bigint NOT NULL DEFAULT 0,
    retried      bigint NOT NULL DEFAULT 0,
    recalled     bigint NOT NULL DEFAULT 0,
    counted_after bigint NOT NULL DEFAULT -1,  -- from here on the ledger, for `audit`, which passes and outcomes keep
    counted      bigint NOT NULL DEFAULT 0,  -- events that were handed over for the first time
    counted_sum  numeric NOT NULL DEFAULT 0,  -- of their offsets
    owed         bigint NOT NULL DEFAULT 0,  -- deliveries and parked events that there must be
    owed_sum     numeric NOT NULL DEFAULT 0,
    wake_at      timestamptz DEFAULT fq.at_once(),  -- when the pump must look at more than the log; NULL: not by itself
    "full"       boolean NOT NULL DEFAULT false,  -- no new events go out until fq.refill_at deliveries are open
    trouble      text,
    trouble_at   timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- The last epochs of removed clients. A client that comes back under the same id must not be settled by old outcomes.
-- Where there are too many rows, they become one, `*`, with the highest epoch of all: see fq.forget_client.
CREATE TABLE fq.epochs (
    client_id text CONSTRAINT epochs_pkey PRIMARY KEY,
    epoch     integer NOT NULL
);

-- What pruning has taken from the ledgers: matching events that a client's ledger counts, and that are not in the log
-- any more. `counted_after` says which ledger: rows of an earlier one count for nothing. It is a table of its own,
-- because the rows of the clients are held by passes, which wait for the broker.
CREATE TABLE fq.uncounted (
    client_id     text NOT NULL,
    counted_after bigint NOT NULL,
    number        bigint NOT NULL,
    total         numeric NOT NULL,  -- of their offsets
    CONSTRAINT uncounted_pkey PRIMARY KEY (client_id, counted_after)
) WITH (fillfactor = 50);

-- A client's settings, and where it stands. A statement that locks clients locks them through this view: joined with a
-- locked row of fq.clients, it would show the settings as they were before the lock.
CREATE VIEW fq.client_settings AS
    SELECT id, bridge, task, routes, queue, topics, ordering, "window", call, serializer, ack_timeout_seconds,
           max_attempts, backoff_seconds, backoff_max_seconds, on_exhausted, batch, batch_wait_ms, batch_as, report_by,
           rate, burst, priority, headers, time_limit_seconds, soft_time_limit_seconds,
           state, "offset", dispatched, epoch, filter, counted_after
      FROM fq.clients;

-- Return the most deliveries that a client may have open: its window; one where the order is strict.
CREATE FUNCTION fq.window_of(c fq.clients) RETURNS integer LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT CASE c.ordering WHEN 'strict' THEN 1 ELSE c."window" END;
END;

-- Return how many deliveries may be open at most for a full window to take new events again: nine tenths of the window.
-- A pass for one event costs nearly as much as one for a hundred, so a window of 1000 waits until 900 are open.
CREATE FUNCTION fq.refill_at(c fq.clients) RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT 9 * CAST(fq.window_of(c) AS bigint) / 10;
END;

-- Return what becomes of an event that has no attempts left: 'park', 'hold-key' or 'halt'. A key can be held only where
-- events are ordered by key. Strict order is one sequence, so to hold one of its keys is to halt the client. Without
-- order no event waits for another one, so there is no key to hold.
CREATE FUNCTION fq.verdict(c fq.clients) RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT CASE WHEN c.on_exhausted <> 'hold-key' OR c.ordering = 'key' THEN c.on_exhausted
                WHEN c.ordering = 'strict' THEN 'halt' ELSE 'park' END;
END;

-- The bucket of a client's rate. It fills with `rate` tokens a second, up to `burst`, and each event that is handed
-- over takes one. Without a burst it holds what comes in a second, and one at least.
CREATE FUNCTION fq.rate_of(c fq.clients) RETURNS double precision LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT CASE WHEN c.rate <> ''
                THEN CAST(split_part(c.rate, '/', 1) AS double precision)
                     / CASE split_part(c.rate, '/', 2) WHEN 's' THEN 1 WHEN 'm' THEN 60 ELSE 3600 END END;
END;
CREATE FUNCTION fq.burst_of(c fq.clients) RETURNS double precision LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT CASE WHEN c.burst > 0 THEN CAST(c.burst AS double precision) ELSE greatest(1, floor(fq.rate_of(c))) END;
END;

-- Return how many tokens wake a client that has used its own up: those of 50 ms, one at least. A pass for one event
-- costs nearly as much as one for many.
CREATE FUNCTION fq.enough_tokens(c fq.clients) RETURNS double precision LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT greatest(1, least(fq.burst_of(c), floor(fq.rate_of(c) / 20)));
END;

-- Return how many tokens a client's bucket has at a moment. Only this server's clock counts. If that was set back, the
-- bucket has enough for a pass, which notes the new time: a rate is exceeded by that much, and nothing stands still.
CREATE FUNCTION fq.tokens_of(c fq.clients, moment timestamptz) RETURNS double precision LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT CASE WHEN c.tokens IS NULL OR c.tokens_at IS NULL THEN fq.burst_of(c)
                WHEN moment < c.tokens_at THEN greatest(least(c.tokens, fq.burst_of(c)), fq.enough_tokens(c))
                ELSE least(fq.burst_of(c), c.tokens
                           + CAST(extract(epoch FROM moment - c.tokens_at) AS double precision) * fq.rate_of(c)) END;
END;

-- Tell whether a client has too few tokens for a pass. This is not SQL, which would be written out into each look: two
-- hundred steps that a server sets up for clients without a rate, too.
CREATE FUNCTION fq.is_limited(c fq.clients) RETURNS boolean LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN fq.tokens_of(c, clock_timestamp()) < fq.enough_tokens(c);
END $$;
