-- Tell what the log is, and the count of Postgres' mark of a broker.
--
-- Binds      bridge     text
--            broker_id  text, as the broker's mark has it
-- Returns    log, generation, count (NULL if Postgres knows no such broker)
-- Relies on  nothing
SELECT CAST(l.id AS text) AS log, fq.generation() AS generation,
       (SELECT max(m.count) FROM fq.marks m WHERE m.bridge = :bridge AND CAST(m.broker_id AS text) = :broker_id)
           AS count
  FROM fq.log l
