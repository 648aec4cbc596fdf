-- Turn topic patterns into one regular expression over '.' || topic.
--
-- Binds      topics  text[]
-- Returns    the expression
-- Relies on  the patterns being valid
SELECT fq.topics_filter(CAST(:topics AS text[]))
