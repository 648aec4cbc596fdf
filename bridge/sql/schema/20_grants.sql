-- What everybody has is nothing: who may not use the schema can't even name what is in it. Functions run with the
-- rights of the role that calls them, so to call one gives nobody more than the tables do.
REVOKE ALL ON SCHEMA fq FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA fq FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA fq FROM PUBLIC;
-- Nor has anybody else but the owner: what the default privileges of a database give to a role was not said of these,
-- and one that has the secret can report any event as done. What is granted by hand comes later.
DO $$
DECLARE
    given text;
BEGIN
    FOR given IN
        SELECT DISTINCT format('REVOKE ALL ON fq.%I FROM %s', c.relname, CAST(a.grantee AS regrole))
          FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
         WHERE c.relnamespace = CAST('fq' AS regnamespace) AND a.grantee NOT IN (0, c.relowner)
    LOOP
        EXECUTE given;
    END LOOP;
END $$;
-- For the trigger events_offset, for the offset that bridge.publish returns, and for the horizon of a reader. Who has
-- INSERT on fq.events needs no more. Nobody can move the sequence with it.
GRANT SELECT ON SEQUENCE fq.events_offset_seq TO PUBLIC;
