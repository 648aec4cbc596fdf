-- Note why a bridge has stopped at a broker, for `status` and `explain`; every few
-- seconds, so that it shows that it is still so.
--
-- Binds      bridge   text
--            broker   text
--            kind     text, of the trouble
--            trouble  text
-- Returns    nothing
-- Relies on  nothing
UPDATE fq.marks
   SET trouble_kind = :kind, trouble = :trouble, trouble_at = clock_timestamp()
 WHERE bridge = :bridge AND broker = :broker 
   AND (trouble IS DISTINCT FROM :trouble OR trouble_at < clock_timestamp() - interval '5 seconds')
