-- Tell whether a batch that is not full may still wait for more events. It waits for none if all that it has says that
-- it is from the future, as after the clock was set back, or where a publisher chose the time: it would wait till then.
--
-- Binds      after    bigint, what was handed over so far
--            horizon  bigint
--            filter   text, regular expression over '.' || topic
--            batch    integer, events of a full batch
--            wait_ms  integer
-- Returns    true or false; false if there is nothing to hand over
-- Relies on  lock_client having run in this transaction
SELECT coalesce(count(*) < :batch
                AND min(created_at) > clock_timestamp() - make_interval(secs => :wait_ms / 1000.0)
                AND min(created_at) <= clock_timestamp(), false)
  FROM (SELECT created_at FROM fq.events
         WHERE "offset" > :after AND "offset" <= :horizon AND '.' || topic ~ :filter
         ORDER BY "offset" LIMIT :batch) waiting
