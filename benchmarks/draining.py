"""Start pumps and ideal fleets beside each other, let them begin at once, and collect their measurements."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from benchmarks.bench import Bench
from benchmarks.drain import GO, READY, RESULTS, STOP
from benchmarks.measure import wait_until


def drain(
    bench: Bench,
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
        bench: Its clients, which report in-process, are drained.
        until: An offset.
        pumps: Number of processes that hand over.
        sinks: Number of processes that settle.
        batch: Most events of one pass.
        meanwhile: Is called again and again until the end.
        seconds: How long it may take.

    Returns:
        The measurements of each pump: events, seconds, cpu_seconds, peak_kib.
    """
    bench.redis.delete(READY, GO, STOP, RESULTS)
    with bench.processes as processes:
        environment = {"BRIDGE_LINGER_SECONDS": "0", "BRIDGE_PASS_LIMIT": str(batch)}
        for nth in range(pumps):
            bench.start_python("benchmarks.drain", "pump", str(until), name=f"pump-{nth}", **environment)
        for nth in range(sinks):
            bench.start_python("benchmarks.drain", "sink", name=f"sink-{nth}", **environment)

        def are_ready() -> bool:
            processes.check(may_end=True)
            return bool(bench.redis.llen(READY) == pumps + sinks)

        def are_done() -> bool:
            processes.check(may_end=True)
            meanwhile()
            return bool(bench.redis.llen(RESULTS) >= pumps)

        wait_until(are_ready, what="pumps and sinks have started", seconds=60)
        bench.redis.set(GO, 1)
        wait_until(are_done, what="everything is handed over", seconds=seconds, poll_seconds=0.05)
        bench.redis.set(STOP, 1)
        wait_until(lambda: bench.redis.llen(RESULTS) == pumps + sinks, what="sinks have stopped", seconds=60)
        found: Any = bench.redis.lrange(RESULTS, 0, -1)
    return [measured for measured in map(json.loads, found) if measured["part"] == "pump"]
