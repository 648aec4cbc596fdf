"""Idle cost: the share of one core that a bridge uses while all of its clients are caught up."""

from __future__ import annotations

import time

from benchmarks.bench import Bench, Servers
from benchmarks.cpu import between, spent
from benchmarks.log import event
from benchmarks.result import Figure, Row, Target
from benchmarks.running import start_bridge
from benchmarks.sizes import Sizes
from bridge import publish

SETTLE_SECONDS = 3.0  # after the start, before the clock runs


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Count CPU time of a bridge that has nothing to do, for few and for many clients."""
    figure = Figure(name="idle", setup={"seconds": sizes.idle_seconds, "settings": "default"})
    for clients in (0, sizes.clients, sizes.clients * 10):
        with servers.bench() as bench:
            percent, parts = _idle(bench, clients, sizes.idle_seconds)
        figure.raw[f"{clients} clients"] = {"percent_of_a_core": percent, **parts}
        targets = (Target(most=3, of="ours"),) if clients == sizes.clients else ()
        figure.rows.append(
            Row(name=f"idle bridge, {clients:,} caught-up clients", ours=percent, unit="% of a core", targets=targets)
        )
    return figure


def _idle(bench: Bench, clients: int, seconds: float) -> tuple[float, dict[str, float]]:
    made = event(1)
    publish(bench.eyes, made.topic, made.payload)
    for number in range(clients):
        bench.client(id=f"idle-{number}", start=bench.last())
    with bench.processes as processes:
        bridge = start_bridge(bench)
        time.sleep(min(SETTLE_SECONDS, seconds))
        before, began = spent(bench, bridge.pid), time.perf_counter()
        time.sleep(seconds)
        used = between(before, spent(bench, bridge.pid))
        passed = time.perf_counter() - began
        processes.check()
    return sum(used.values()) / passed * 100, used
