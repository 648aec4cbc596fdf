"""Settling: outcomes a second by the collector, against a worker that runs `bridge.commit` as a task."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from benchmarks.bench import Bench, Servers
from benchmarks.callbacks import hand_over, prefill
from benchmarks.measure import interleaved, wait_until
from benchmarks.result import Figure, Row, Target
from benchmarks.sizes import Sizes
from bridge.app import Bridge
from bridge.collector.loop import collect

TASKS = "bridge.commit as tasks, the better of solo and prefork"
COLLECTOR = "collector"
WARM = 0.1  # share of the tasks that a worker executes before its clock starts


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Settle the callbacks on the queue in every possible way."""
    with servers.bench_with_log(max(sizes.pump, 10_000)) as bench:
        bridge = bench.bridge(bridge_pass_limit=5000)
        contenders: dict[str, Callable[[], float]] = {
            COLLECTOR: lambda: _collect(bench, bridge, sizes.pump, ordering="none"),
            "collector, ordered by key": lambda: _collect(bench, bridge, sizes.pump, ordering="key"),
            **{pool: partial(_tasks, bench, bridge, sizes.slow, pool=pool) for pool in ("solo", "prefork")},
        }
        found = interleaved(contenders, rounds=sizes.rounds)
    tasks = [max(pair) for pair in zip(found["solo"], found["prefork"], strict=True)]
    figure = Figure(name="settle", raw={"outcomes_per_second": found})
    figure.setup = {"outcomes": sizes.pump, "outcomes_as_tasks": sizes.slow, "clients": 1}
    for name in (COLLECTOR, "collector, ordered by key"):
        targets = (Target(least=40), Target(least=30_000, of="ours"))
        figure.rows.append(Row.of_rates(f"settle, {name}", found[name], tasks, TASKS, targets=targets))
    return figure


def _fill(bench: Bench, bridge: Bridge, events: int, ordering: str) -> str:
    client = bench.client(start=0, window=events, ordering=ordering)
    hand_over(bench, bridge, client, events)
    assert prefill(bench, bridge, client) == events
    return client


def _collect(bench: Bench, bridge: Bridge, events: int, *, ordering: str) -> float:
    client, stopping = _fill(bench, bridge, events, ordering), threading.Event()
    work = partial(collect, bridge, queue=bridge.settings.queue, others="others", stopping=stopping)
    collector, began = threading.Thread(target=work), time.perf_counter()
    collector.start()
    try:
        ended = wait_until(lambda: bench.has_reached(client, events), what="the collector is done", poll_seconds=0.02)
    finally:
        stopping.set()
        collector.join()
    bench.forget(client)
    return events / (ended - began)


def _tasks(bench: Bench, bridge: Bridge, events: int, *, pool: str) -> float:
    client = _fill(bench, bridge, events, "none")
    query = "SELECT succeeded >= %s FROM fq.clients WHERE id = %s"
    warm = int(events * WARM)
    with bench.processes as processes:
        bench.start_worker("bridge", queue=bridge.settings.queue, pool=pool, BRIDGE_COLLECTOR="false")

        def is_done(number: int) -> bool:
            processes.check()
            return bool(bench.ask(query, number, client))

        began = wait_until(lambda: is_done(warm), what="the worker has begun")
        before = bench.ask("SELECT succeeded FROM fq.clients WHERE id = %s", client)
        ended = wait_until(lambda: is_done(events), what="the worker is done")
    bench.forget(client)
    return float((events - before) / (ended - began))
