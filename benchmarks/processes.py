"""Processes that a benchmark runs: each with its log, in a session of its own, stopped by its pid when we leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from bridge.demo.servers.process import die_with_parent, tail
from bridge.errors import BridgeError

REPOSITORY = Path(__file__).parent.parent
STOP_SECONDS = 15.0
# For every worker alike: on few cores, gossip between workers costs more than it tells.
WORKER = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
OTHERS_SETTINGS = ("CELERY", "BRIDGE_", "PG", "FORKED_BY_MULTIPROCESSING")


class Running(NamedTuple):
    """A process, and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """See that it has not ended in an error.

        Raises:
            BridgeError: it has; the message ends with its log.
        """
        if self.process.poll():
            raise BridgeError(f"the {self.name} has ended with exit code {self.process.returncode}{tail(self.log)}")


class Processes:
    """Starts processes; leaving its `with` block stops them all.

    Args:
        logs: Where their output goes.
        environment: What all of them get; none of our own settings for Celery, Postgres or the bridge reach them.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS_SETTINGS)}
        self._environment = {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **environment}
        self._running: list[Running] = []

    def celery(self, app: str, *args: str, queue: str, concurrency: int = 2, **environment: str) -> Running:
        """Start a Celery worker on one queue."""
        name = f"{app}-{len(self._running)}"
        command = ["celery", "-A", app, "worker", "-Q", queue, "-n", f"{name}@%h", "-c", str(concurrency), *WORKER]
        return self.python(*command, *args, name=name, **environment)

    def bridge(self, **environment: str) -> Running:
        """Start a complete bridge: a worker with beat in it."""
        schedule = str(self._logs / f"beat-{time.monotonic_ns()}")
        return self.celery("bridge", "-B", "-s", schedule, queue="bridge", concurrency=2, **environment)

    def python(self, *args: str, name: str = "", **environment: str) -> Running:
        """Start `python -m ARGS`."""
        name = name or "-".join(args[:2])
        return self.start([sys.executable, "-m", *args], name=name, **environment)

    def start(self, command: Sequence[str], *, name: str, **environment: str) -> Running:
        """Start a program; does not wait for it."""
        log = self._logs / f"{name.replace('/', '-')}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                command,
                cwd=self._logs,
                env={**self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: we stop them in order
                preexec_fn=die_with_parent(signal.SIGQUIT),  # noqa: PLW1509 - one system call, takes no lock
            )
        running = Running(name, process, log)
        self._running.append(running)
        return running

    def check(self) -> None:
        """See that none has ended in an error.

        Raises:
            BridgeError: one has.
        """
        for running in self._running:
            running.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask all of them to stop; kill, by their own process groups, what has not."""
        try:
            for running in self._running:
                if running.process.poll() is None:
                    running.process.terminate()
            deadline = time.monotonic() + STOP_SECONDS
            for running in self._running:
                with suppress(subprocess.TimeoutExpired):
                    running.process.wait(max(0.1, deadline - time.monotonic()))
        finally:
            for running in self._running:
                with suppress(ProcessLookupError):
                    os.killpg(running.process.pid, signal.SIGKILL)
                running.process.wait()
            self._running.clear()
