-- How long passes and settled batches took: a histogram of each, for each bridge. Every process counts in its memory,
-- and adds what is new here every few seconds, so the numbers are those of all processes and only ever grow. `counts`
-- has one number more than `bounds`: how many took at most so many seconds, and more than the bound before.
CREATE TABLE fq.durations (
    bridge  text NOT NULL,
    name    text NOT NULL CONSTRAINT durations_name CHECK (name IN ('pass', 'settle')),
    bounds  double precision[] NOT NULL,
    counts  bigint[] NOT NULL,
    seconds double precision NOT NULL,  -- of all of them together
    CONSTRAINT durations_pkey PRIMARY KEY (bridge, name)
) WITH (fillfactor = 50);
