"""Latency: from the commit of the publishing transaction to the start of the handler, on an idle system."""

from __future__ import annotations

import json
import random
import time
from typing import Any

from benchmarks.bench import Bench, Servers
from benchmarks.fleet import QUEUE
from benchmarks.log import event
from benchmarks.measure import percentile, wait_until
from benchmarks.result import Figure, Row, Target
from benchmarks.running import fleet, start_bridge
from benchmarks.sizes import Sizes
from bridge import publish
from bridge.demo.processes import Processes

PAUSE_SECONDS = 0.1  # on average, between two events
ACTIVE = 10
DELAY = ".delay() to handler start"
NOTES = "bench:notes"


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Publish an event now and then, to one client, then to ten active clients among many idle ones."""
    figure = Figure(name="latency", setup={"events": sizes.latencies, "settings": "default"})
    with servers.bench() as bench, fleet(bench, prefetch=4) as processes:
        start_bridge(bench)
        bench.client(task="fleet.note", topics=["order.#"])
        bridge, delay = _latencies(bench, processes, sizes.latencies, topics=["order.created"])
        _rows(figure, "latency, idle system", bridge, delay, targets=True)
        bench.eyes.execute("DELETE FROM fq.clients")
        many = sizes.clients * 10
        for number in range(many):
            bench.client(id=f"many-{number}", start=bench.last(), task="fleet.note", topics=[f"topic{number}.#"])
        active = [f"topic{number}.happened" for number in range(min(many, ACTIVE))]
        bridge, delay = _latencies(bench, processes, sizes.latencies, topics=active)
        _rows(figure, f"latency, {many:,} clients of which {len(active)} are active", bridge, delay)
    figure.notes.append("the clock starts before COMMIT is sent, and stops in the handler's first line")
    return figure


def _latencies(
    bench: Bench, processes: Processes, number: int, *, topics: list[str]
) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each event through the bridge, and of as many `.delay()` in between."""
    task = bench.app().signature("fleet.note", queue=QUEUE)
    chance, started = random.Random(1), {}
    bench.redis.delete(NOTES)
    for nth in range(number):
        made = event(nth)
        with bench.eyes.transaction():
            offset = publish(bench.eyes, topics[nth % len(topics)], made.payload, key=made.key)
            started[offset] = time.time()
        time.sleep(chance.uniform(0, PAUSE_SECONDS * 2))
        started[-nth - 1] = time.time()
        task.delay({"offset": -nth - 1, "payload": made.payload})
        time.sleep(chance.uniform(0, PAUSE_SECONDS))
        processes.check()
    wait_until(lambda: bench.redis.llen(NOTES) >= 2 * number, what="all events are handled", seconds=60)
    notes: Any = bench.redis.lrange(NOTES, 0, -1)
    handled: dict[int, float] = {}
    for offset, began in map(json.loads, notes):
        handled.setdefault(offset, began)
    passed = {offset: (handled[offset] - began) * 1e3 for offset, began in started.items()}
    return [v for offset, v in passed.items() if offset >= 0], [v for offset, v in passed.items() if offset < 0]


def _rows(figure: Figure, name: str, ours: list[float], other: list[float], *, targets: bool = False) -> None:
    figure.raw[name] = {"bridge_ms": ours, "delay_ms": other}
    for share, most in ((0.5, 15), (0.99, 50)):
        a, b = percentile(ours, share), percentile(other, share)
        figure.rows.append(
            Row(
                name=f"{name}, p{share * 100:g}",
                ours=a,
                unit="ms",
                other=b,
                beside=DELAY,
                ratio=a / b,
                targets=(Target(most=most, of="ours"),) if targets else (),
            )
        )
