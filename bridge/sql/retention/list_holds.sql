-- List the holds that have not expired.
--
-- Binds      none
-- Returns    name, "offset", expires_at, by; the lowest offset comes first
-- Relies on  nothing
SELECT h.name, h."offset", h.expires_at, h.by FROM fq.holds h
 WHERE h.expires_at > clock_timestamp() ORDER BY h."offset", h.name
