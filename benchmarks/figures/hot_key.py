"""A hot key: half of all events have one key and a slow handler; the other keys must hardly be slower."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

from benchmarks import log
from benchmarks.bench import Bench, Servers
from benchmarks.measure import interleaved, percentile, wait_until
from benchmarks.result import Figure, Row, Target
from benchmarks.running import fleet, start_bridge
from benchmarks.sizes import Sizes

SECONDS = 0.02  # that the hot key's handler takes
PROCESSES = 4
WITH, WITHOUT = "with the hot key", "the same run without the hot key"
OTHERS, HOT = "bench:others", "bench:hot"
# When each event of the hot key became a delivery, which is what happens in the transaction that sends it.
TRIGGER = b"""
CREATE TABLE IF NOT EXISTS sent (client_id text, "offset" bigint, at timestamptz);
CREATE OR REPLACE FUNCTION note_sent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sent VALUES (NEW.client_id, NEW."offset", clock_timestamp());
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER note_sent AFTER INSERT ON fq.deliveries FOR EACH ROW WHEN (NEW.key = 'hot')
    EXECUTE FUNCTION note_sent();
"""


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Measure the others' throughput with and without the hot key, and how soon its next event follows."""
    figure = Figure(name="hot-key")
    figure.setup = {"others": sizes.hot, "hot_seconds": SECONDS, "processes": PROCESSES, "window": 1000}
    under_load: list[float] = []
    with servers.bench() as bench:
        bench.eyes.execute(TRIGGER)
        contenders: dict[str, Callable[[], float]] = {
            WITH: lambda: _others(bench, sizes.hot, hot=True, gaps=under_load),
            WITHOUT: lambda: _others(bench, sizes.hot, hot=False, gaps=[]),
        }
        found = interleaved(contenders, rounds=min(3, sizes.rounds))
        alone = _alone(bench, sizes.latencies)
    figure.raw = {"others_per_second": found, "sent_after_ms": under_load, "started_after_ms": alone}
    row = Row.of_rates(
        "other keys beside a hot key", found[WITH], found[WITHOUT], WITHOUT, targets=(Target(least=0.9),)
    )
    figure.rows.append(row)
    for what, gaps in (("handed over, under load", under_load), ("its handler started, otherwise idle", alone)):
        for share in (0.5, 0.99):
            targets = (Target(most=50, of="ours"),)
            name = f"success to successor {what}, p{share * 100:g}"
            if gaps:
                figure.rows.append(Row(name=name, ours=percentile(gaps, share), unit="ms", targets=targets))
    figure.notes.append(f"the hot key keeps one of {PROCESSES} worker processes busy; both runs have the same fleet")
    return figure


def _others(bench: Bench, events: int, *, hot: bool, gaps: list[float]) -> float:
    """Return events of other keys a second; `gaps` gets the time from a success to the hot key's next delivery."""
    bench.redis.flushall()
    bench.eyes.execute("TRUNCATE sent")
    start = bench.last()
    with fleet(bench, concurrency=PROCESSES, prefetch=4) as processes:
        client = bench.client(start=start, task="fleet.keyed")
        bench.eyes.execute("UPDATE fq.clients SET state = 'paused' WHERE id = %s", (client,))
        log.fill_hot(bench.eyes, events, hot=hot, seconds=SECONDS)
        start_bridge(bench)

        def count(number: int) -> bool:
            processes.check()
            return int(bench.redis.get(OTHERS) or 0) >= number

        bench.eyes.execute("UPDATE fq.clients SET state = 'active' WHERE id = %s", (client,))
        began = wait_until(lambda: count(events // 10), what="the other keys have begun")
        before = int(bench.redis.get(OTHERS) or 0)
        ended = wait_until(lambda: count(events), what="the other keys are done")
    gaps += _gaps(bench)
    bench.forget(client)
    return (events - before) / (ended - began)


def _gaps(bench: Bench) -> list[float]:
    """Return milliseconds from the end of each handler of the hot key until its next event was handed over."""
    notes: Any = bench.redis.lrange(HOT, 0, -1)
    ends = {offset: end for offset, _, end in map(json.loads, notes)}
    query = b'SELECT "offset", extract(epoch FROM at)::float8 FROM sent ORDER BY "offset"'
    sent: dict[int, float] = dict(bench.eyes.execute(query).fetchall())
    offsets = sorted(sent)
    return [(sent[b] - ends[a]) * 1e3 for a, b in itertools.pairwise(offsets) if a in ends]


def _alone(bench: Bench, events: int) -> list[float]:
    """Return milliseconds from the end of a handler to the start of the next one, with nothing else to do."""
    bench.redis.flushall()
    start = bench.last()
    with fleet(bench, prefetch=4) as processes:
        start_bridge(bench)
        client = bench.client(start=start, task="fleet.keyed", topics=[log.TOPIC])
        bench.eyes.execute(
            b"INSERT INTO fq.events (topic, key) SELECT %s, 'hot' FROM generate_series(1, %s::int)", (log.TOPIC, events)
        )
        wait_until(lambda: bench.redis.llen(HOT) >= events, what="the hot key's events are handled")
        processes.check()
    notes: Any = bench.redis.lrange(HOT, 0, -1)
    handled = sorted(map(json.loads, notes))
    bench.forget(client)
    return [(b[1] - a[2]) * 1e3 for a, b in itertools.pairwise(handled)]
