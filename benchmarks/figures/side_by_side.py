"""Side by side: pumps on different clients, and the most that one client can get."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import Bench, Servers
from benchmarks.draining import drain
from benchmarks.measure import interleaved
from benchmarks.result import Figure, Row
from benchmarks.sizes import Sizes

WINDOW, BATCH = 20_000, 5_000
ONE = "one pump, one client"
PAIRS = {
    "two pumps, two clients": (2, 2),
    "one pump, two clients": (1, 2),
    "two pumps, one client": (2, 1),
    "one pump, 100 clients": (1, 100),
}


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Let pumps in processes of their own hand over the same log, with no consumer, and once with outcomes settled."""
    figure = Figure(name="side-by-side", setup={"window": WINDOW, "batch": BATCH, "events_per_client": sizes.pump})
    with servers.bench_with_log(max(sizes.pump, 10_000)) as bench:
        contenders = {ONE: partial(_pumps, bench, sizes.pump, pumps=1, clients=1)}
        for name, (pumps, clients) in PAIRS.items():
            contenders[name] = partial(_pumps, bench, sizes.pump, pumps=pumps, clients=clients)
        contenders["sustained"] = partial(_pumps, bench, sizes.pump, pumps=1, clients=1, sinks=1)
        found = interleaved(contenders, rounds=min(3, sizes.rounds))
    figure.raw["events_per_second"] = found
    for name in PAIRS:
        figure.rows.append(Row.of_rates(name, found[name], found[ONE], ONE))
    name = "one client's highest rate, outcomes settled by a second process"
    figure.rows.append(Row.of_rates(name, found["sustained"], found[ONE], "handing over alone"))
    figure.notes.append("Postgres, Redis and all pumps share the machine's cores")
    return figure


def _pumps(bench: Bench, events: int, *, pumps: int, clients: int, sinks: int = 0) -> float:
    """Return events a second of all clients together, from the first pump's beginning to the last one's end."""
    events = events if clients <= 2 else max(1, 2 * events // clients)
    window = WINDOW if sinks else events
    names = [bench.client(start=0, report_by="in-process", window=window, ordering="none") for _ in range(clients)]
    measured = drain(bench, until=events, pumps=pumps, sinks=sinks, batch=BATCH)
    bench.forget(*names)
    return float(events * clients / max(pump["seconds"] for pump in measured))
