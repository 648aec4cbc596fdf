"""Time a turn: seconds, and processor time of the bridge, of a fleet and of Postgres."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from .trees import Names

SESSIONS = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"


class Cost(NamedTuple):
    """What a turn took, in seconds: of time, of processor time of the bridge and a fleet, and of Postgres.

    Attributes:
        slowest: Of latencies, the 99th of a hundred; `seconds` is their median.
    """

    seconds: float
    ours: float
    postgres: float
    slowest: float = 0.0


class Timing:
    """Times turns on one bench."""

    def __init__(self, names: Names, bench: Any) -> None:
        self._names, self._bench = names, bench
        self._bridge = bench.bridge(**{names.limit: 5000})
        self._callbacks: Any = import_module("benchmarks.callbacks")
        self._running: Any = import_module("benchmarks.running")

    def _wait_for(self, client: str, upto: int) -> None:
        while not getattr(self._bench, self._names.has_reached)(client, upto):
            time.sleep(0.02)

    def _forget(self, client: str) -> None:
        """Empty the log's clients and the broker, and let the bridge see it before the next turn is timed."""
        self._bench.forget(client)
        self._look()

    def _look(self) -> None:
        """Compare the marks now. It is due every two seconds, however much is done in them; turns are shorter."""
        with suppress(ImportError):  # an older tree keeps no marks
            witness: Any = import_module("bridge.marks.witness").witness_of(self._bridge)
            witness.look_at_once()
            witness.check(trust_seconds=0)

    def _timed(self, work: Callable[[], object]) -> Cost:
        self._look()
        began = time.perf_counter(), self._ours(), self._postgres()
        work()
        return Cost(time.perf_counter() - began[0], self._ours() - began[1], self._postgres() - began[2])

    def _ours(self) -> float:
        """Return the processor time of this process and of the workers that it has started."""
        children = psutil.Process().children(recursive=True)
        return time.process_time() + sum(_ticked(it) for it in children if _is_worker(it))

    def _postgres(self) -> float:
        return sum(_counted(pid) for (pid,) in self._bench.eyes.execute(SESSIONS).fetchall())


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "celery" in process.cmdline()
    return False


def _counted(pid: int) -> float:
    """Return the processor time of a process with one thread; Linux counts nanoseconds."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    return _ticked(psutil.Process(pid)) if psutil.pid_exists(pid) else 0.0


def _ticked(process: psutil.Process) -> float:
    """Return the processor time of a process, in hundredths of a second."""
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0
