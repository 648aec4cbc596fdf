-- Erase what the scheduled events of a key hold; they are still appended when they are due. With a pseudonym the key is
-- replaced too, and their ids are forgotten.
--
-- Binds      key        text
--            pseudonym  text, or NULL: the key stays
-- Returns    had_content of each
-- Relies on  nothing
WITH wanted AS MATERIALIZED (
    SELECT s.number, NOT (s.payload = fq.erased() AND s.headers = '{}') AS had_content
      FROM fq.scheduled s WHERE s.key = :key FOR UPDATE
)
UPDATE fq.scheduled s
   SET payload = fq.erased(), headers = '{}', key = coalesce(CAST(:pseudonym AS text), s.key),
       id = CASE WHEN CAST(:pseudonym AS text) IS NULL THEN s.id END
  FROM wanted w WHERE w.number = s.number AND (w.had_content OR CAST(:pseudonym AS text) IS NOT NULL)
RETURNING w.had_content
