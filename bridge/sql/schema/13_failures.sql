-- What is kept of an event's failed attempts: a JSON array, the last one last, at most ten. It stands in the row of the
-- delivery or of the parked event, and goes with it. An element has `attempt` and `at`, and as far as they are known
-- `error_type`, `error`, `traceback`, `host`, `runtime_seconds` and `told_by`.

-- Return failures without the texts that may quote their event, if that is erased by now, or gone.
CREATE FUNCTION fq.failures_unless_erased("offset" bigint, failures jsonb) RETURNS jsonb LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN failures IS NULL OR fq.unless_erased(failures_unless_erased."offset", 'told') = 'told'
                THEN failures
                ELSE (SELECT jsonb_agg(f.failure
                                       || CASE WHEN f.failure ? 'error' THEN jsonb_build_object('error', 'erased')
                                               ELSE '{}' END
                                       || CASE WHEN f.failure ? 'traceback'
                                               THEN jsonb_build_object('traceback', 'erased') ELSE '{}' END
                                       ORDER BY f.nth)
                        FROM jsonb_array_elements(failures) WITH ORDINALITY AS f (failure, nth)) END;
END;

-- Return why an event is parked without what may quote it, if the event is erased by now, or gone. Only an event that
-- could not become a message has a reason that quotes anything.
CREATE FUNCTION fq.reason_unless_erased("offset" bigint, reason text) RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT CASE WHEN starts_with(reason, 'undeliverable: ')
                 AND fq.unless_erased(reason_unless_erased."offset", 'told') <> 'told'
                THEN 'undeliverable: erased' ELSE reason END;
END;

-- Return failures with one more, of this attempt and now. Of more than ten the oldest goes.
CREATE FUNCTION fq.with_failure("offset" bigint, failures jsonb, attempt integer, failure jsonb) RETURNS jsonb
LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT fq.failures_unless_erased(
               with_failure."offset",
               CASE WHEN jsonb_array_length(coalesce(failures, '[]')) < 10 THEN coalesce(failures, '[]')
                    ELSE failures - 0 END
               || jsonb_build_array(failure || jsonb_build_object('attempt', attempt, 'at', now())));
END;

-- Return failures with what was told later of one of them; what is known of it already stays.
CREATE FUNCTION fq.failures_filled("offset" bigint, failures jsonb, attempt integer, told jsonb) RETURNS jsonb
LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT fq.failures_unless_erased(
               failures_filled."offset",
               (SELECT jsonb_agg(CASE WHEN f.failure @> jsonb_build_object('attempt', attempt)
                                      THEN told || f.failure ELSE f.failure END ORDER BY f.nth)
                  FROM jsonb_array_elements(failures) WITH ORDINALITY AS f (failure, nth)));
END;

-- Tell whether one of these failures is of this attempt, and something about it is not known yet.
CREATE FUNCTION fq.failure_is_untold(failures jsonb, attempt integer) RETURNS boolean LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM jsonb_array_elements(failures) f
                    WHERE f @> jsonb_build_object('attempt', attempt) AND NOT f ?& ARRAY['told_by', 'host']);
END;

-- Tell whether the last of these failures is of this attempt, and says nothing yet.
CREATE FUNCTION fq.last_is_untold(failures jsonb, attempt integer) RETURNS boolean LANGUAGE sql IMMUTABLE BEGIN ATOMIC
    SELECT failures -> -1 @> jsonb_build_object('attempt', attempt) AND NOT failures -> -1 ? 'told_by';
END;

-- Tell whether failures have texts that may quote their event.
CREATE FUNCTION fq.failures_quote(failures jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM jsonb_array_elements(failures) f
                    WHERE f ->> 'error' <> 'erased' OR f ->> 'traceback' <> 'erased');
END;
