"""Read the processor time that a bridge uses: in its processes, and in the Postgres backends that work for it."""

from __future__ import annotations

from contextlib import suppress

import psutil

from benchmarks.bench import Bench

BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'celery-event-bridge bridge%'"


def spent(bench: Bench, pid: int) -> dict[str, dict[int, float]]:
    """Return the CPU seconds up to now of a worker's processes, and of its backends, by pid."""
    process = psutil.Process(pid)
    workers = [process.pid, *(child.pid for child in process.children(recursive=True))]
    backends = [pid for (pid,) in bench.eyes.execute(BACKENDS.encode()).fetchall()]
    return {"processes": _seconds(workers), "backends": _seconds(backends)}


def between(before: dict[str, dict[int, float]], after: dict[str, dict[int, float]]) -> dict[str, float]:
    """Return the CPU seconds between two looks; a process that started in between counts from its start."""
    return {
        part: sum(seconds - before[part].get(pid, 0) for pid, seconds in pids.items()) for part, pids in after.items()
    }


def _seconds(pids: list[int]) -> dict[int, float]:
    found = {}
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(pid).cpu_times()
            found[pid] = times.user + times.system
    return found
