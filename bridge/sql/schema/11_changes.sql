-- Note in the journal what registers a client, and what changes its settings, with old and new values: whoever does it,
-- in plain SQL too. `fq.by` says who, where the bridge's own code does it. A value that is too long is cut off. The
-- settings are the columns of the trigger `clients_changed`. Passes and outcomes never write these, so this costs them
-- nothing.
CREATE FUNCTION fq.note_settings() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was      jsonb := CASE WHEN TG_OP = 'UPDATE' AND OLD.task IS NOT NULL THEN to_jsonb(OLD) END;
    now      jsonb := to_jsonb(NEW);  -- once, and not for each setting
    changed  jsonb;
BEGIN
    SELECT jsonb_object_agg(s.name, CASE WHEN was IS NULL THEN s.new
                                         ELSE jsonb_build_object('from', s.old, 'to', s.new) END)
      INTO changed
      FROM (SELECT n.name, was -> n.name IS DISTINCT FROM v.new AS differs,
                   CASE WHEN length(CAST(v.new AS text)) <= 1000 THEN v.new
                        ELSE to_jsonb(left(CAST(v.new AS text), 1000) || '…') END AS new,
                   CASE WHEN length(CAST(was -> n.name AS text)) <= 1000 THEN was -> n.name
                        ELSE to_jsonb(left(CAST(was -> n.name AS text), 1000) || '…') END AS old
              FROM (SELECT CAST(a.attname AS text) AS name
                      FROM pg_trigger t JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr)
                     WHERE t.tgrelid = TG_RELID AND t.tgname = 'clients_changed') n
             CROSS JOIN LATERAL (SELECT now -> n.name AS new) v) s
     WHERE s.differs;
    IF changed IS NOT NULL THEN
        INSERT INTO fq.journal (by, client_id, action, details)
        VALUES (coalesce(nullif(current_setting('fq.by', true), ''), session_user || ' in SQL'), NEW.id,
                CASE WHEN was IS NULL THEN 'register' ELSE 'change' END,
                CASE WHEN was IS NULL THEN jsonb_build_object('offset', NEW."offset", 'settings', changed)
                     ELSE changed END);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER clients_registered AFTER INSERT ON fq.clients
    FOR EACH ROW WHEN (NEW.task IS NOT NULL) EXECUTE FUNCTION fq.note_settings();
CREATE TRIGGER clients_changed AFTER UPDATE OF
    bridge, task, routes, queue, topics, ordering, "window", call, serializer, ack_timeout_seconds, max_attempts,
    backoff_seconds, backoff_max_seconds, on_exhausted, batch, batch_wait_ms, batch_as, report_by, rate, burst,
    priority, headers, time_limit_seconds, soft_time_limit_seconds ON fq.clients
    FOR EACH ROW WHEN (OLD.task IS NOT NULL OR NEW.task IS NOT NULL) EXECUTE FUNCTION fq.note_settings();
