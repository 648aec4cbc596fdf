"""A bridge and a fleet in processes of their own, ready and warm, and the moment when all is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.drain import READY
from benchmarks.fleet import QUEUE
from benchmarks.log import event
from benchmarks.measure import wait_until
from benchmarks.processes import Processes, Running
from benchmarks.world import World
from bridge import publish_many

WARM = 20  # events or tasks that go through before a clock starts
START_SECONDS = 90.0
PREFETCH = 64  # of every Celery worker that handles no-ops: fetching takes longer than the task


@contextmanager
def fleet(
    world: World, *, app: str = "benchmarks.fleet", concurrency: int = 2, prefetch: int = PREFETCH
) -> Iterator[Processes]:
    """A prefork worker that consumes."""
    world.redis.delete(READY)
    with world.processes() as processes:
        processes.celery(app, queue=QUEUE, concurrency=concurrency, FLEET_PREFETCH=str(prefetch))

        def is_ready() -> bool:
            processes.check()
            return bool(world.redis.exists(READY))

        wait_until(is_ready, what="the fleet consumes", seconds=START_SECONDS)
        yield processes


def start_bridge(world: World, processes: Processes, **environment: str) -> Running:
    """Start a complete bridge with default settings, and wait until its pump looks for events."""
    world.eyes.execute("DELETE FROM fq.turns WHERE name = 'linger'")
    bridge = processes.bridge(**environment)

    def is_ready() -> bool:
        processes.check()
        return world.is_lingering()

    wait_until(is_ready, what="the pump looks for events", seconds=START_SECONDS)
    return bridge


def warm(world: World, client: str) -> None:
    """Let a few events go all the way."""
    publish(world, WARM)
    upto = world.last()
    wait_until(lambda: world.is_done(client, upto), what="the first events are done", seconds=START_SECONDS)


def publish(world: World, events: int, *, batch: int = 1000) -> None:
    """Append events, a transaction per batch."""
    for first in range(0, events, batch):
        publish_many(world.eyes, [event(number) for number in range(first, min(events, first + batch))])


def wait_until_empty(world: World) -> float:
    """Wait until no message is on the fleet's queue or in a worker's hands, three times in a row; when that began."""
    while True:
        seen = wait_until(lambda: _is_empty(world), what="the fleet is done")
        if all(_is_empty(world) for _ in range(3)):
            return seen


def _is_empty(world: World) -> bool:
    return not world.redis.llen(QUEUE) and not world.redis.hlen("unacked")
