-- Let what is in flight go out again in new epochs, the replays' too, and count no attempt. What is about an offset
-- that may name another event now is forgotten: the log gives that event to the client anew. A delivery that its
-- handler's transaction has done stays done, and the next pass finishes it.
--
-- Binds      kept  bigint, the last offset that names the event of before for certain
-- Returns    client_id, again: deliveries that go out again, forgotten: deliveries and parked events
-- Relies on  hold_all_clients having run in this transaction, and resync_clients not yet
WITH client AS MATERIALIZED (
    SELECT c.id, c.last_epoch + 1 - c.epoch AS ahead FROM fq.clients c
), forgotten AS (
    DELETE FROM fq.deliveries d WHERE d."offset" > :kept RETURNING d.client_id
), again AS (
    UPDATE fq.deliveries d
       SET epoch = d.epoch + c.ahead, due_at = now(), waited_at = NULL, behind = NULL,
           state = CASE d.state WHEN 'sent' THEN 'retrying' ELSE d.state END,
           earlier_attempts = d.earlier_attempts + CASE d.state WHEN 'sent' THEN 1 ELSE 0 END
      FROM client c WHERE c.id = d.client_id AND d."offset" <= :kept
    RETURNING d.client_id
), laneless AS (
    DELETE FROM fq.lanes l WHERE l."offset" > :kept
), unparked AS (
    DELETE FROM fq.parked p WHERE p."offset" > :kept RETURNING p.client_id
), replays AS (
    UPDATE fq.replays r SET epoch = r.epoch + c.ahead, upto = least(r.upto, :kept)
      FROM client c WHERE c.id = r.client_id
), aside AS (
    DELETE FROM fq.aside a WHERE a."offset" > :kept
)
SELECT client_id, count(*) FILTER (WHERE again) AS again, count(*) FILTER (WHERE NOT again) AS forgotten
  FROM (SELECT client_id, true AS again FROM again UNION ALL SELECT client_id, false FROM forgotten
         UNION ALL SELECT client_id, false FROM unparked) done
 GROUP BY client_id
