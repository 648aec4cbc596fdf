"""Settling: outcomes a second by the collector, against `bridge.commit` executed as a task by a worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from benchmarks.callbacks import hand_over, prefill
from benchmarks.measure import interleaved, wait_until
from benchmarks.result import Figure, Row, Target
from benchmarks.sizes import Sizes
from benchmarks.world import Servers, World
from bridge.app import Bridge
from bridge.collector.step import collect

TASKS = "bridge.commit as tasks, the better of solo and prefork"
COLLECTOR = "collector"
WARM = 0.1  # share of the tasks that a worker executes before its clock starts


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Settle what lies on the queue by every way there is."""
    with servers.world_with_log(max(sizes.pump, 10_000)) as world:
        bridge = world.bridge(bridge_pass_limit=5000)
        contenders: dict[str, Callable[[], float]] = {
            COLLECTOR: lambda: _collect(world, bridge, sizes.pump, ordering="none"),
            "collector, ordered by key": lambda: _collect(world, bridge, sizes.pump, ordering="key"),
            **{pool: partial(_tasks, world, bridge, sizes.slow, pool=pool) for pool in ("solo", "prefork")},
        }
        found = interleaved(contenders, rounds=sizes.rounds)
    tasks = [max(pair) for pair in zip(found["solo"], found["prefork"], strict=True)]
    figure = Figure(name="settle", raw={"outcomes_per_second": found})
    figure.setup = {"outcomes": sizes.pump, "outcomes_as_tasks": sizes.slow, "clients": 1}
    for name in (COLLECTOR, "collector, ordered by key"):
        targets = (Target(least=40), Target(least=30_000, of="ours"))
        figure.rows.append(Row.of_rates(f"settle, {name}", found[name], tasks, TASKS, targets=targets))
    return figure


def _fill(world: World, bridge: Bridge, events: int, ordering: str) -> str:
    client = world.client(start=0, window=events, ordering=ordering)
    hand_over(world, bridge, client, events)
    assert prefill(world, bridge, client) == events
    return client


def _collect(world: World, bridge: Bridge, events: int, *, ordering: str) -> float:
    client, stopping = _fill(world, bridge, events, ordering), threading.Event()
    work = partial(collect, bridge, queue=bridge.settings.queue, others="others", stopping=stopping)
    collector, began = threading.Thread(target=work), time.perf_counter()
    collector.start()
    try:
        ended = wait_until(lambda: world.is_done(client, events), what="the collector is done", poll_seconds=0.02)
    finally:
        stopping.set()
        collector.join()
    world.forget(client)
    return events / (ended - began)


def _tasks(world: World, bridge: Bridge, events: int, *, pool: str) -> float:
    client = _fill(world, bridge, events, "none")
    query = "SELECT succeeded >= %s FROM fq.clients WHERE id = %s"
    warm = int(events * WARM)
    with world.processes() as processes:
        processes.celery("bridge", "--pool", pool, queue=bridge.settings.queue, BRIDGE_COLLECTOR="false")

        def is_done(number: int) -> bool:
            processes.check()
            return bool(world.ask(query, number, client))

        began = wait_until(lambda: is_done(warm), what="the worker has begun")
        before = world.ask("SELECT succeeded FROM fq.clients WHERE id = %s", client)
        ended = wait_until(lambda: is_done(events), what="the worker is done")
    world.forget(client)
    return float((events - before) / (ended - began))
