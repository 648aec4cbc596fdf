-- What everybody has is nothing: who may not use the schema can't even name what is in it. Functions run with the
-- rights of the role that calls them, so to call one gives nobody more than the tables do.
REVOKE ALL ON SCHEMA fq FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA fq FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA fq FROM PUBLIC;
-- For the trigger events_offset, for the offset that bridge.publish returns, and for the horizon of a reader. Who has
-- INSERT on fq.events needs no more. Nobody can move the sequence with it.
GRANT SELECT ON SEQUENCE fq.events_offset_seq TO PUBLIC;
