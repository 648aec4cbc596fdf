"""Start pumps and ideal fleets beside each other, let them begin at once, and collect what they measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks.drain import GO, READY, RESULTS, STOP
from benchmarks.measure import wait_until
from benchmarks.world import World


def drain(
    world: World,
    *,
    until: int,
    pumps: int = 1,
    sinks: int = 1,
    batch: int,
    meanwhile: Callable[[], object] = lambda: None,
    seconds: float = 3600,
) -> list[dict[str, Any]]:
    """Let pumps hand over all events up to `until`, and ideal fleets settle them.

    Args:
        world: Its clients, with commit = in-process, are drained.
        until: An offset.
        pumps: Processes that hand over.
        sinks: Processes that settle.
        batch: Most events of one pass.
        meanwhile: Called again and again while it goes on.
        seconds: Longest that it may take.

    Returns:
        What each pump measured: events, seconds, cpu_seconds, peak_kib.
    """
    world.redis.delete(READY, GO, STOP, RESULTS)
    with world.processes() as processes:
        environment = {"BRIDGE_LINGER_SECONDS": "0", "BRIDGE_PASS_LIMIT": str(batch)}
        for nth in range(pumps):
            processes.python("benchmarks.drain", "pump", str(until), name=f"pump-{nth}", **environment)
        for nth in range(sinks):
            processes.python("benchmarks.drain", "sink", name=f"sink-{nth}", **environment)

        def are_ready() -> bool:
            processes.check()
            return bool(world.redis.llen(READY) == pumps + sinks)

        def are_done() -> bool:
            processes.check()
            meanwhile()
            return bool(world.redis.llen(RESULTS) >= pumps)

        wait_until(are_ready, what="pumps and sinks have started", seconds=60)
        world.redis.set(GO, 1)
        wait_until(are_done, what="everything is handed over", seconds=seconds, poll_seconds=0.05)
        world.redis.set(STOP, 1)
        wait_until(lambda: world.redis.llen(RESULTS) == pumps + sinks, what="sinks have stopped", seconds=60)
        found: Any = world.redis.lrange(RESULTS, 0, -1)
    return [measured for measured in map(json.loads, found) if measured["part"] == "pump"]
