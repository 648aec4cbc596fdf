-- Return the moment that was so many seconds ago by this server's clock, which dates the events.
--
-- Binds      seconds  double precision
-- Returns    the moment
-- Relies on  nothing
SELECT clock_timestamp() - make_interval(secs => :seconds)
