-- Read what was appended after an offset and matches topic patterns, also by the transaction that asks.
--
-- Binds      after   bigint
--            topics  text[], AMQP topic patterns
-- Returns    "offset", topic, key, payload and headers as JSON text, created_at; in the order of offsets
-- Relies on  no search path: it runs on a test's own connection (decision 30)
SELECT e."offset", e.topic, e.key, CAST(e.payload AS pg_catalog.text), CAST(e.headers AS pg_catalog.text), e.created_at
  FROM fq.events e
 WHERE e."offset" OPERATOR(pg_catalog.>) :after
   AND '.' OPERATOR(pg_catalog.||) e.topic OPERATOR(pg_catalog.~) fq.topics_filter(CAST(:topics AS pg_catalog.text[]))
 ORDER BY e."offset"
