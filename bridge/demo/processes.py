"""The demo's Celery workers: real processes, each with its log, all gone when the demo is.

Ctrl-C reaches us and not them, so that we stop them in order. On Linux the kernel stops them when we are
killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from bridge.demo.servers.process import die_with_parent, tail
from bridge.errors import BridgeError

STOP_SECONDS = 10.0


class Running(NamedTuple):
    """A worker, and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Workers:
    """The Celery workers that run in the background.

    Args:
        logs: Where their output goes.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[Running] = []

    def start(self, name: str, arguments: str, *, directory: Path, environment: Mapping[str, str]) -> None:
        """Start `celery ARGUMENTS`; does not wait for it.

        Args:
            name: What to call it when it is in trouble.
            arguments: For `celery`, without spaces in any of them.
            directory: Where it runs.
            environment: All that configures it: none of our own settings for Celery or the bridge reach it.
        """
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("CELERY", "BRIDGE_", "PG", "FORKED_BY_MULTIPROCESSING"))
        }
        log = self._logs / f"{name.replace(' ', '-')}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", *arguments.split()],
                cwd=directory,
                env={**inherited, "PYTHONUNBUFFERED": "1", **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGQUIT),  # noqa: PLW1509 - one system call, takes no lock
            )
        self._running.append(Running(name, process, log))

    def check(self) -> None:
        """See that all of them run.

        Raises:
            BridgeError: one has ended; the message ends with its log.
        """
        for name, process, log in self._running:
            if process.poll() is not None:
                raise BridgeError(f"the {name} has ended with exit code {process.returncode}{tail(log)}")

    def tails(self) -> str:
        """The end of every log."""
        return "".join(f"\n{name}:{tail(log)}" for name, _, log in self._running)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them all, together; who has not ended in time, and what is left of who has, is killed."""
        try:
            for _, process, _ in self._running:
                if process.poll() is None:
                    process.terminate()
            deadline = time.monotonic() + STOP_SECONDS
            for _, process, _ in self._running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.1, deadline - time.monotonic()))
        finally:
            for _, process, _ in self._running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # a group of its own: see start_new_session
                process.wait()
