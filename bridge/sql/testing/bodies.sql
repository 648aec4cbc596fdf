-- Read the events that go to a client, each as the body that the client's task is called with, as a pass makes it.
--
-- Binds      after   bigint
--            topics  text[], the client's
--            client  text
--            call    text, event | payload | kwargs
-- Returns    "offset", topic, key, body, traceparent, tracestate, baggage, sentry_trace; in the order of offsets
-- Relies on  no search path: it runs on a test's own connection (decision 30)
SELECT e."offset", e.topic, e.key,
       fq.body(e, CAST(:client AS pg_catalog.text), 1, CAST(:call AS pg_catalog.text), 1,
               (SELECT l.starts FROM fq.log l)),
       e.headers OPERATOR(pg_catalog.->>) 'traceparent', e.headers OPERATOR(pg_catalog.->>) 'tracestate',
       e.headers OPERATOR(pg_catalog.->>) 'baggage', e.headers OPERATOR(pg_catalog.->>) 'sentry-trace'
  FROM fq.events e
 WHERE e."offset" OPERATOR(pg_catalog.>) :after
   AND '.' OPERATOR(pg_catalog.||) e.topic OPERATOR(pg_catalog.~) fq.topics_filter(CAST(:topics AS pg_catalog.text[]))
 ORDER BY e."offset"
