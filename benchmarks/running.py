"""Start a bridge and a fleet in processes of their own, warm them up, and tell when everything is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import WORKER_OPTIONS, Bench
from benchmarks.drain import READY
from benchmarks.fleet import QUEUE
from benchmarks.log import event
from benchmarks.measure import wait_until
from bridge import publish_many
from bridge.demo.process import Process
from bridge.demo.processes import Processes

WARM = 20  # events or tasks that go through before a clock starts
START_SECONDS = 90.0
PREFETCH = 64  # of every worker that handles no-ops: to fetch one takes longer than to run it


@contextmanager
def fleet(
    bench: Bench, *, app: str = "benchmarks.fleet", concurrency: int = 2, prefetch: int = PREFETCH
) -> Iterator[Processes]:
    """Run a prefork worker; yield the processes once it consumes."""
    bench.redis.delete(READY)
    with bench.processes as processes:
        bench.start_worker(app, queue=QUEUE, concurrency=concurrency, FLEET_PREFETCH=str(prefetch))

        def is_ready() -> bool:
            processes.check()
            return bool(bench.redis.exists(READY))

        wait_until(is_ready, what="the fleet consumes", seconds=START_SECONDS)
        yield processes


def start_bridge(bench: Bench, **environment: str) -> Process:
    """Start a complete bridge with default settings, and wait until its pump looks for events."""
    bench.eyes.execute("DELETE FROM fq.turns WHERE name = 'linger'")
    bridge = bench.start_bridge(
        f"bridge-{len(bench.processes.running)}", options=WORKER_OPTIONS, environment=environment
    )

    def is_ready() -> bool:
        bridge.check()
        return bench.is_lingering()

    wait_until(is_ready, what="the pump looks for events", seconds=START_SECONDS)
    return bridge


def warm(bench: Bench, client: str) -> None:
    """Let a few events go all the way through."""
    publish(bench, WARM)
    upto = bench.last()
    wait_until(lambda: bench.has_reached(client, upto), what="the first events are done", seconds=START_SECONDS)


def publish(bench: Bench, events: int, *, batch: int = 1000) -> None:
    """Append events, one transaction for each batch."""
    for first in range(0, events, batch):
        publish_many(bench.eyes, [event(number) for number in range(first, min(events, first + batch))])


def wait_until_empty(bench: Bench) -> float:
    """Wait until no message is on the fleet's queue or with a worker, three looks in a row; return when that began.

    On RabbitMQ only the queue is seen: a hundred messages may still be with the worker.
    """
    while True:
        seen = wait_until(lambda: _is_empty(bench), what="the fleet is done")
        if all(_is_empty(bench) for _ in range(3)):
            return seen


def _is_empty(bench: Bench) -> bool:
    return not bench.waiting() and not bench.redis.hlen("unacked")
