-- Read the events that go to a client, each as the body that the client's task is called with, as a pass makes it.
--
-- Binds      after   bigint
--            topics  text[], the client's
--            client  text
--            call    text, event | payload | kwargs
--            names   text[], of the headers that the client wants
--            most    integer, most characters of one
-- Returns    "offset", topic, key, body, traceparent, tracestate, baggage, sentry_trace, and `texts`: an array in the
--            order of the names, with NULL for a header that is not there or too long; in the order of offsets
-- Relies on  no search path: it runs on a test's own connection (decision 30)
SELECT e."offset", e.topic, e.key,
       fq.body(e, CAST(:client AS pg_catalog.text), 1, CAST(:call AS pg_catalog.text), 1,
               (SELECT l.starts FROM fq.log l)),
       e.headers OPERATOR(pg_catalog.->>) 'traceparent', e.headers OPERATOR(pg_catalog.->>) 'tracestate',
       e.headers OPERATOR(pg_catalog.->>) 'baggage', e.headers OPERATOR(pg_catalog.->>) 'sentry-trace',
       ARRAY(SELECT CASE WHEN pg_catalog.length(e.headers OPERATOR(pg_catalog.->>) n.name) OPERATOR(pg_catalog.<=)
                              CAST(:most AS pg_catalog.int4)
                         THEN e.headers OPERATOR(pg_catalog.->>) n.name END
               FROM pg_catalog.unnest(CAST(:names AS pg_catalog.text[])) WITH ORDINALITY AS n (name, nth)
              ORDER BY n.nth) AS texts
  FROM fq.events e
 WHERE e."offset" OPERATOR(pg_catalog.>) :after
   AND '.' OPERATOR(pg_catalog.||) e.topic OPERATOR(pg_catalog.~) fq.topics_filter(CAST(:topics AS pg_catalog.text[]))
 ORDER BY e."offset"
