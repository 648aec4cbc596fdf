-- Tell how long passes and settled batches took, as histograms.
--
-- Binds      bridges  bigint, most bridges
-- Returns    bridge, name, bounds, counts, seconds
-- Relies on  nothing
SELECT d.bridge, d.name, d.bounds, d.counts, d.seconds FROM fq.durations d ORDER BY d.bridge, d.name LIMIT 2 * :bridges
