-- The marks: what Postgres remembers of each broker that a bridge has worked with. The broker keeps a small record of
-- the same content. A pump raises `count` here first and there second, so in good order the broker's count is this one
-- or one less: more there means that this database was set back, less means that the broker lost messages.
CREATE TABLE fq.marks (
    bridge         text NOT NULL,  -- the bridge's queue
    broker         text NOT NULL,  -- the broker's address, without user and password
    broker_id      uuid,  -- drawn when the mark is first written there, and anew after each loss
    count          bigint NOT NULL DEFAULT 0,
    nonce          uuid,  -- drawn with each count
    before         uuid,  -- the nonce of the count before
    fresh          boolean NOT NULL DEFAULT false,  -- the broker has not been seen with this broker_id yet
    system         bigint,  -- Postgres' system identifier
    timeline       integer,
    server_started timestamptz,  -- the start of the server that was last compared with the broker
    "offset"       bigint NOT NULL DEFAULT -1,  -- the last event of the log when something was handed over
    created_at     timestamptz,  -- the time of that event
    holder         text,
    seen_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    serving        boolean NOT NULL DEFAULT false,
    losses         bigint NOT NULL DEFAULT 0,
    lost_at        timestamptz,  -- what was handed over until then is still to be recalled
    lost_why       text,
    trouble_kind   text,
    trouble        text,
    trouble_at     timestamptz,
    CONSTRAINT marks_pkey PRIMARY KEY (bridge, broker)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX marks_serving ON fq.marks (bridge) WHERE serving;

-- What stops a bridge at a broker now. Of a broker that does not serve it, trouble is over once nobody notes it again.
CREATE VIEW fq.mark_troubles AS
    SELECT m.bridge, m.broker, m.trouble_kind, m.trouble, m.trouble_at FROM fq.marks m
     WHERE m.trouble IS NOT NULL AND (m.serving OR m.trouble_at > clock_timestamp() - interval '1 minute');

-- Return what tells this server from others: its system identifier, and its timeline, which a fail-over changes. Both
-- are NULL where the server does not tell: that is no reason to stop.
CREATE FUNCTION fq.server(OUT system bigint, OUT timeline integer) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT c.system_identifier INTO system FROM pg_control_system() c;
    timeline := ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer;
EXCEPTION WHEN OTHERS THEN
    NULL;
END $$;
