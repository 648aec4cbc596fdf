-- Note that a broker has lost messages: what was handed over until now is to be recalled. Where the clock was set back,
-- some of it may have been handed over at a later time than now.
--
-- Binds      bridge  text
--            broker  text
--            why     text
-- Returns    nothing
-- Relies on  lock having run in this transaction
UPDATE fq.marks m
   SET losses = m.losses + 1, lost_why = :why,
       lost_at = greatest(clock_timestamp(), (SELECT max(d.sent_at) FROM fq.deliveries d))
 WHERE m.bridge = :bridge AND m.broker = :broker
