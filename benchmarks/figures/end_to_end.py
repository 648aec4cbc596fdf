"""End to end: a no-op handler in one prefork worker with two processes, from the table to the committed cursor."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.bench import TASK, Bench, Servers
from benchmarks.log import as_argument
from benchmarks.measure import interleaved, wait_until
from benchmarks.peers import pgqueuer, procrastinate
from benchmarks.peers.poller import fill, relay
from benchmarks.result import Figure, Row, Target
from benchmarks.running import PREFETCH, WARM, fleet, publish, start_bridge, wait_until_empty, warm
from benchmarks.sizes import Sizes
from bridge.contract import COMMIT, celery_link

DELAY = ".delay() and a worker, publisher included"
INSTALLED = "benchmarks.installed"
CEILING = "the worker alone, its queue filled beforehand"
BATCH = 100
LINK, LINK_INSTALLED = "commit by link", "commit by link, bridge installed in the fleet"
BATCHES = {
    f"in-process commit, batch = {BATCH}": ("in-process", "list"),
    f"in-process commit, batch = {BATCH} in calls": ("in-process", "calls"),
    f"{LINK}, batch = {BATCH}": ("callback", "list"),
    f"{LINK}, batch = {BATCH} in calls": ("callback", "calls"),
}
TARGETS = {"in-process commit": 1.5, LINK: 1.0, LINK_INSTALLED: 1.0, **dict.fromkeys(BATCHES, 20.0)}
PEERS = (procrastinate, pgqueuer)


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Let every contender have the same events handled, each with the machine to itself."""
    figure = Figure(name="end-to-end")
    with servers.bench() as bench:
        contenders: dict[str, Callable[[], float]] = {
            "in-process commit": partial(_bridge, bench, figure, sizes.tasks, commit="in-process"),
            LINK: partial(_bridge, bench, figure, sizes.tasks, commit="callback"),
            LINK_INSTALLED: partial(_bridge, bench, figure, sizes.tasks, commit="callback", app=INSTALLED),
            DELAY: partial(_delay, bench, sizes.tasks),
            "hand-written poller": partial(_poller, bench, sizes.tasks),
            CEILING: partial(_ceiling, bench, sizes.tasks),
            f"{CEILING}, with link": partial(_ceiling, bench, sizes.tasks, linked=True),
        }
        for name, (commit, given) in BATCHES.items():
            contenders[name] = partial(
                _bridge, bench, figure, sizes.batched, commit=commit, batch=BATCH, batch_as=given
            )
        for peer in PEERS:
            if reason := peer.missing():
                figure.notes.append(f"{peer.NAME} is skipped: {reason}")
            else:
                contenders[peer.NAME] = partial(peer.end_to_end, bench, sizes.tasks)
        found = interleaved(contenders, rounds=min(3, sizes.rounds))
    figure.raw["events_per_second"] = dict(found)
    figure.setup = {
        "events": sizes.tasks,
        "events_in_batches": sizes.batched,
        "prefetch_multiplier": PREFETCH,
        "processes": 2,
        "window": 1000,
        "ordering": "key, a key per event",
    }
    base = found.pop(DELAY)
    for name, rates in found.items():
        targets = (Target(least=TARGETS[name]),) if name in TARGETS else ()
        figure.rows.append(Row.of_rates(f"end to end, {name}", rates, base, DELAY, targets=targets))
    return figure


def _bridge(
    bench: Bench,
    figure: Figure,
    events: int,
    *,
    commit: str,
    batch: int = 1,
    batch_as: str = "list",
    app: str = "",
) -> float:
    """Time a client with a full table before it, from the moment when it goes active until its cursor is at the end."""
    bench.empty_broker()
    app = app or (INSTALLED if commit == "in-process" else "benchmarks.fleet")
    with fleet(bench, app=app) as processes:
        start_bridge(bench)
        settings: dict[str, Any] = {
            "report_by": commit,
            "batch": batch,
            "batch_as": batch_as,
            "window": max(1000, 20 * batch),
        }
        client = bench.client(start=bench.last(), **settings)
        warm(bench, client)
        bench.eyes.execute("UPDATE fq.clients SET state = 'paused' WHERE id = %s", (client,))
        publishing = time.perf_counter()
        publish(bench, events)
        figure.raw.setdefault("publishing_seconds", []).append(time.perf_counter() - publishing)
        upto = bench.last()
        began = time.perf_counter()
        bench.eyes.execute("UPDATE fq.clients SET state = 'active' WHERE id = %s", (client,))
        ended = wait_until(lambda: bench.has_reached(client, upto), what="the cursor is at the end", poll_seconds=0.02)
        processes.check()
    bench.forget(client)
    return events / (ended - began)


def _delay(bench: Bench, tasks: int) -> float:
    """Time a worker from the first `.delay()` until it has nothing left."""
    bench.empty_broker()
    task = bench.app().tasks[TASK]
    arguments = [as_argument(number) for number in range(tasks)]
    with fleet(bench):
        for argument in arguments[:WARM]:
            task.delay(argument)
        wait_until_empty(bench)
        began = time.perf_counter()
        for argument in arguments:
            task.delay(argument)
        return tasks / (wait_until_empty(bench) - began)


def _ceiling(bench: Bench, tasks: int, *, linked: bool = False) -> float:
    """Time a worker that empties a filled queue: what feeds it one by one can't be faster."""
    bench.empty_broker()
    app = bench.app()
    link = app.signature(celery_link(COMMIT, "nobody", ["client", 1, 1, 1, "signature" * 4])) if linked else None
    for number in range(tasks):
        app.tasks[TASK].apply_async([as_argument(number)], link=link, link_error=link)
    with fleet(bench):
        began = wait_until(lambda: bench.waiting() <= tasks - WARM, what="the worker has begun")
        left = bench.waiting()
        return left / (wait_until_empty(bench) - began)


def _poller(bench: Bench, tasks: int) -> float:
    """Time a full outbox until the worker has nothing left."""
    bench.empty_broker()
    app = bench.app()
    fill(bench, tasks)
    with fleet(bench):
        for number in range(WARM):
            app.tasks[TASK].delay(as_argument(number))
        wait_until_empty(bench)
        began = time.perf_counter()
        while relay(bench.eyes, app):
            pass
        return tasks / (wait_until_empty(bench) - began)
