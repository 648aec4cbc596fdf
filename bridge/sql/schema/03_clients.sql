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
    report_by    text NOT NULL DEFAULT 'callback' CONSTRAINT clients_report_by CHECK (report_by IN ('callback', 'in-process')),
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
