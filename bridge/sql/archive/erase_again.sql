-- Erase what a replay has put back as it was before it was erased.
--
-- Binds      offsets  bigint[]
-- Returns    nothing
-- Relies on  nothing
UPDATE fq.events e SET payload = fq.erased(), headers = '{}'
 WHERE e."offset" = ANY (CAST(:offsets AS bigint[])) AND NOT fq.is_erased(e)
