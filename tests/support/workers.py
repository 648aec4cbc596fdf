"""Celery workers for tests: processes that can be killed, and that may run another Python or another Celery."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge.demo.process import Process, inherited
from bridge.demo.workers import worker_command

READY_SECONDS = 60.0
# Of a warm shutdown: a bridge worker lets its pump linger to the end, and forty processes may share two cores.
STOP_SECONDS = 90.0


class Worker(Process):
    """A `celery worker` in a process group of its own, with its log in a file."""

    def wait_until_ready(self, timeout: float = READY_SECONDS) -> None:
        """Wait until Celery's own log says that it consumes."""
        self.wait_until(lambda: " ready." in self.log, seconds=timeout)

    def stop(self, seconds: float = STOP_SECONDS, number: signal.Signals = signal.SIGTERM) -> int:
        """Shut it down as an operator does, by one SIGTERM; return its exit code, -9 if that took too long."""
        return super().stop(seconds, number)


def start_worker(
    app: str,
    *,
    name: str,
    directory: Path,
    log_path: Path,
    env: Mapping[str, str],
    queues: Sequence[str],
    pool: str,
    concurrency: int,
    python: str | Path = sys.executable,
    beat: bool = False,
) -> Worker:
    """Start a Celery worker in `directory`; does not wait for it."""
    command = worker_command(
        app,
        node=name,
        queues=queues,
        concurrency=concurrency,
        pool=pool,
        log_level="INFO",
        schedule=log_path.with_suffix(".schedule") if beat else None,  # not into the repository
        python=python,
    )
    # Our settings must not configure it: a test says all that its worker gets.
    environment = {**inherited(), "PYTHONUNBUFFERED": "1", **env}
    return Worker(name, command, log_path=log_path, directory=directory, environment=environment)
