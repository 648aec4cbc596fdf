-- Register a client, or change its settings. The cursor of a client that exists stays where it is. A client that a
-- person has registered stays that person's, and one that a person changes becomes it, unless the code declares it.
-- Where there was no such client, and there is one by now, it is only locked.
--
-- Binds      id                      text
--            offset                  bigint, the cursor of a new client
--            bridge                  text, which serves it
--            task                    text
--            routes                  text, JSON: pairs of topic pattern and task name
--            queue                   text
--            topics                  text[]
--            ordering                text
--            window                  integer
--            call                    text
--            serializer              text
--            ack_timeout_seconds     double precision
--            max_attempts            integer
--            backoff_seconds         double precision
--            backoff_max_seconds     double precision
--            on_exhausted            text
--            batch                   integer
--            batch_wait_ms           integer
--            batch_as                text
--            report_by               text
--            rate                    text
--            burst                   integer
--            priority                integer
--            headers                 text[]
--            time_limit_seconds      double precision
--            soft_time_limit_seconds double precision
--            declared_by             text, the app whose code declares it; NULL for a person
--            new                     boolean, whether find_client has found none
-- Returns    "offset"; no row where somebody else has registered it since find_client
-- Relies on  find_client having run in this transaction
INSERT INTO fq.clients (id, "offset", bridge, task, routes, queue, topics, ordering, "window", call, serializer,
                        ack_timeout_seconds, max_attempts, backoff_seconds, backoff_max_seconds, on_exhausted, batch,
                        batch_wait_ms, batch_as, report_by, rate, burst, priority, headers, time_limit_seconds,
                        soft_time_limit_seconds, declared_by)
VALUES (:id, :offset, :bridge, :task, CAST(:routes AS jsonb), :queue, CAST(:topics AS text[]), :ordering, :window,
        :call, :serializer, :ack_timeout_seconds, :max_attempts, :backoff_seconds, :backoff_max_seconds, :on_exhausted,
        :batch, :batch_wait_ms, :batch_as, :report_by, :rate, :burst, :priority, CAST(:headers AS text[]),
        :time_limit_seconds, :soft_time_limit_seconds, CAST(:declared_by AS text))
    ON CONFLICT (id) DO UPDATE
   SET bridge = EXCLUDED.bridge, task = EXCLUDED.task, routes = EXCLUDED.routes, queue = EXCLUDED.queue,
       topics = EXCLUDED.topics, ordering = EXCLUDED.ordering, "window" = EXCLUDED."window", call = EXCLUDED.call,
       serializer = EXCLUDED.serializer, ack_timeout_seconds = EXCLUDED.ack_timeout_seconds,
       max_attempts = EXCLUDED.max_attempts, backoff_seconds = EXCLUDED.backoff_seconds,
       backoff_max_seconds = EXCLUDED.backoff_max_seconds, on_exhausted = EXCLUDED.on_exhausted,
       batch = EXCLUDED.batch, batch_wait_ms = EXCLUDED.batch_wait_ms, batch_as = EXCLUDED.batch_as,
       report_by = EXCLUDED.report_by, rate = EXCLUDED.rate, burst = EXCLUDED.burst, priority = EXCLUDED.priority,
       headers = EXCLUDED.headers, time_limit_seconds = EXCLUDED.time_limit_seconds,
       soft_time_limit_seconds = EXCLUDED.soft_time_limit_seconds,
       declared_by = CASE WHEN EXCLUDED.declared_by IS NOT NULL THEN clients.declared_by END, undeclared_at = NULL,
       updated_at = now(), wake_at = fq.at_once(), "full" = false
 WHERE NOT CAST(:new AS boolean)
RETURNING "offset"
