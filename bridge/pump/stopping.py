"""Know that the worker is shutting down: a tick then ends after the slice at hand, and does not drain the log first.

A warm shutdown waits for the tasks that run, and a tick may have work for minutes. Celery tells only the main process,
and the pump runs in a child of it. The two share a byte of memory: it is mapped when this module is imported, which the
main process does before it forks. In pools of threads it is the same process anyway.
"""

from __future__ import annotations

import mmap
from typing import Any

from celery import bootsteps, signals

_shared = mmap.mmap(-1, 1)
RUNNING, STOPPING = 0, 1


def is_stopping() -> bool:
    """Tell whether the worker that this process belongs to is shutting down."""
    return _shared[0] == STOPPING


def set_stopping(stopping: bool) -> None:
    """Tell it all processes of this worker."""
    _shared[0] = STOPPING if stopping else RUNNING


class StopTicks(bootsteps.StartStopStep):
    """Tells the ticks of a worker that it shuts down, also where that was asked for from remote."""

    requires = frozenset({"celery.worker.components:Pool"})  # it stops before the pool, which waits for its tasks

    def start(self, worker: Any) -> None:
        """Begin: another worker of this process may have stopped before."""
        signals.worker_shutting_down.connect(_on_shutdown)
        set_stopping(False)

    def close(self, worker: Any) -> None:
        """End the ticks that run, before the pool waits for them."""
        set_stopping(True)

    stop = terminate = close


def _on_shutdown(**_: Any) -> None:
    """Hear of a signal while the consumer still waits for the broker; a step hears of it only after that."""
    set_stopping(True)
