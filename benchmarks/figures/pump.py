"""The pump: events from Postgres to Redis with their deliveries recorded, against a loop of `apply_async`."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery, signals

from benchmarks import log
from benchmarks.bench import TASK, Bench, Servers
from benchmarks.measure import interleaved, rate
from benchmarks.peers.poller import poll
from benchmarks.result import Figure, Row, Target
from benchmarks.sizes import Sizes
from bridge.app import Bridge
from bridge.pump.loop import pump_of

WINDOW, BATCH = 20_000, 20_000
HEARD = "portable, somebody listens to publish signals"
LOOP = "apply_async(link=…, link_error=…) loop over the same rows"


def measure(servers: Servers, sizes: Sizes) -> Figure:
    """Hand over the same rows in every possible way."""
    with servers.bench_with_log(max(sizes.pump, 10_000)) as bench:
        stencil = bench.bridge(bridge_pass_limit=BATCH)
        portable = bench.bridge(bridge_pass_limit=BATCH, bridge_stencil=False)
        heard = bench.bridge(bridge_pass_limit=BATCH)
        defaults = bench.bridge()
        portable_events = max(1, sizes.pump // 4)
        app = bench.app()
        contenders: dict[str, Callable[[], float]] = {
            "stencil": lambda: _pump(bench, stencil, sizes.pump, ordering="none"),
            "stencil, ordered by key": lambda: _pump(bench, stencil, sizes.pump, ordering="key"),
            "stencil, default window and batch": lambda: _pump(bench, defaults, 1000, window=1000),
            "portable": lambda: _pump(bench, portable, portable_events, ordering="none"),
            HEARD: lambda: _heard(bench, heard, portable_events),
            LOOP: lambda: _loop(bench, app, sizes.slow),
            "hand-written poller, .delay()": lambda: poll(bench, app, sizes.slow),
        }
        interleaved(contenders, rounds=1)  # to warm up
        found = interleaved(contenders, rounds=sizes.rounds)
    figure = Figure(name="pump", raw={"events_per_second": dict(found)})
    figure.setup = {"window": WINDOW, "batch": BATCH, "events": sizes.pump, "events_one_by_one": sizes.slow}
    least = {"stencil": 40, "stencil, ordered by key": 40, "portable": 12}
    base = found.pop(LOOP)
    for name, rates in found.items():
        targets = (Target(least=least[name]),) if name in least else ()
        figure.rows.append(
            Row.of_rates(f"pump, {name}" if "poller" not in name else name, rates, base, LOOP, targets=targets)
        )
    figure.notes.append(
        f"window {WINDOW:,} and pass limit {BATCH:,}, except where the defaults (1,000 and 2,000) are named; "
        "no worker consumes the messages; the loop records nothing"
    )
    return figure


def _pump(bench: Bench, bridge: Bridge, events: int, *, window: int = WINDOW, ordering: str = "key") -> float:
    """Return events a second, window by window; between two windows the clock stops and deliveries are removed."""
    began_at, seconds = 0, 0.0
    while began_at < events:
        upto = min(events, began_at + window)
        client = bench.client(start=began_at, window=upto - began_at, ordering=ordering)
        seconds += (upto - began_at) / rate(upto - began_at, pump_of(bridge).tick)
        sent = bench.waiting()
        assert sent == upto - began_at, f"{sent} messages of {upto - began_at}"
        bench.forget(client)
        began_at = upto
    return events / seconds


def _heard(bench: Bench, bridge: Bridge, events: int) -> float:
    """Do the same with a listener, so that Celery makes every message itself."""

    def hear(**_: object) -> None:
        pass

    signals.before_task_publish.connect(hear)
    try:
        return _pump(bench, bridge, events, ordering="none")
    finally:
        signals.before_task_publish.disconnect(hear)


def _loop(bench: Bench, app: Celery, events: int) -> float:
    """Do it without the bridge: read rows, and let Celery publish each with both callbacks."""
    task = app.tasks[TASK]

    def work() -> None:
        for batch in log.read(bench.eyes, after=0, rows=events, batch=BATCH):
            for event in batch:
                args = ("client", event["offset"], 1, 1, "signature" * 4)
                task.apply_async(
                    args=[event],
                    link=app.signature("bridge.commit", args=args, immutable=True, queue="bridge"),
                    link_error=app.signature("bridge.fail", args=args, immutable=True, queue="bridge"),
                )

    found = rate(events, work)
    bench.empty_broker()
    return found
