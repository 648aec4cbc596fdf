"""Scale: the cost of an event depends neither on the size of the log or the backlog, nor on how rare its topic is."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

from benchmarks.bench import Bench, Servers
from benchmarks.fleet import QUEUE
from benchmarks.log import RARE, TOPIC
from benchmarks.measure import Stalled, interleaved, ratio
from benchmarks.result import Figure, Row, Target
from benchmarks.sizes import Sizes
from bridge.app import Bridge
from bridge.model import Outcome
from bridge.pump.loop import pump_of
from bridge.settle.settle import settle

SMALL = 10_000
EVENTS = 4_000  # handed over and settled in one round, with the default window and batch
END, BEGINNING, LITTLE = "end of the big log", "beginning of the big log", "end of the small log"
RARELY, DENSELY = "sparse topic", "one event at a time"


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Do the same work on a big log and on a small one."""
    figure = Figure(name="scale", setup={"big_log": sizes.log, "small_log": SMALL, "events": EVENTS})
    with servers.bench_with_log(sizes.log) as big, servers.bench_with_log(SMALL) as small:
        big_bridge, small_bridge = big.bridge(), small.bridge()
        contenders: dict[str, Callable[[], float]] = {
            END: lambda: _cost(big, big_bridge, start=big.last() - EVENTS),
            LITTLE: lambda: _cost(small, small_bridge, start=small.last() - EVENTS),
            BEGINNING: lambda: _cost(big, big_bridge, start=0),
        }
        interleaved(contenders, rounds=1)  # to warm up
        found = interleaved(contenders, rounds=sizes.rounds * 2)
        sparse = interleaved(
            {RARELY: lambda: _sparse(big, big_bridge, figure), DENSELY: lambda: _alone(small, small_bridge)}, rounds=2
        )
    figure.raw |= {"microseconds_per_event": found, "milliseconds_per_matching_event": sparse}
    for name, ours in ((f"log of {sizes.log:,} rows, {END}", END), (f"backlog of {sizes.log:,} events", BEGINNING)):
        targets = (Target(most=1.1),)
        figure.rows.append(
            Row.of_rates(
                f"cost per event, {name}",
                found[ours],
                found[LITTLE],
                f"log of {SMALL:,} rows",
                unit="µs",
                targets=targets,
            )
        )
    figure.rows.append(
        Row(
            name="cost per event, one in 100,000 matches",
            ours=median(sparse[RARELY]),
            unit="ms",
            other=median(sparse[DENSELY]),
            beside="a pass for a single event",
            ratio=ratio(sparse[RARELY], sparse[DENSELY]),
            targets=(Target(most=2),),
        )
    )
    figure.notes.append("a cost is one pass and settling its outcomes, with default window and batch")
    return figure


def _cost(bench: Bench, bridge: Bridge, *, start: int) -> float:
    """Return the microseconds of an event that is handed over and settled, window by window."""
    client = bench.client(start=start, ordering="key")
    upto, done = start + EVENTS, start
    began = perf_counter()
    while done < upto:
        pump_of(bridge).tick()
        found = bench.ask("SELECT dispatched FROM fq.clients WHERE id = %s", client)
        if found == done:
            raise Stalled(f"client {client} got nothing behind event {done}")
        outcomes = [Outcome(client=client, offset=offset, epoch=1, attempt=1) for offset in range(done + 1, found + 1)]
        settle(bridge.store, outcomes)
        done = found
    seconds = perf_counter() - began
    events = done - start
    bench.forget(client)
    return seconds / events * 1e6


def _sparse(bench: Bench, bridge: Bridge, figure: Figure) -> float:
    """Return the milliseconds of an event whose topic is rare, through the whole log."""
    client = bench.client(start=0, topics=[RARE])
    began = perf_counter()
    while not bench.has_reached(client, bench.last()):
        pump_of(bridge).tick()
        sent = bench.redis.llen(QUEUE)
        if bench.ask("SELECT dispatched >= %s FROM fq.clients WHERE id = %s", bench.last(), client):
            break
    seconds = perf_counter() - began
    figure.raw.setdefault("sparse_seconds_for_the_whole_log", []).append(seconds)
    bench.forget(client)
    return seconds / max(1, sent) * 1e3


def _alone(bench: Bench, bridge: Bridge, times: int = 20) -> float:
    """Return the milliseconds of a tick that hands over a single event."""
    start = bench.last() - times - 1
    client = bench.client(start=start, topics=[TOPIC], window=1, ordering="none")
    seconds = 0.0
    for nth in range(1, times + 1):
        began = perf_counter()
        pump_of(bridge).tick()
        seconds += perf_counter() - began
        settle(bridge.store, [Outcome(client=client, offset=start + nth, epoch=1, attempt=1)])
    bench.forget(client)
    return seconds / times * 1e3
