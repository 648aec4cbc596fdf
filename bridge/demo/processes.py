"""Processes that run together, such as the workers of the demo: one log for each, and all of them stopped at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from bridge.demo.process import STOP_SECONDS, Process, inherited, tail

NOTHING: Mapping[str, str] = MappingProxyType({})


class Processes:
    """Processes that run together; leaving the `with` block stops them all.

    Args:
        logs: Where their output goes, one file for each name.
        environment: Variables that all of them get, beside what they inherit from us.
        stop_seconds: How long all of them together may take to stop.
    """

    def __init__(
        self, logs: Path, environment: Mapping[str, str] = NOTHING, *, stop_seconds: float = STOP_SECONDS
    ) -> None:
        self.running: list[Process] = []
        self._logs, self._stop_seconds = logs, stop_seconds
        self._environment = {**inherited(), "PYTHONUNBUFFERED": "1", **environment}

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        directory: Path | None = None,
        environment: Mapping[str, str] = NOTHING,
    ) -> Process:
        """Start a program; does not wait for it.

        Args:
            name: What messages call it, and the name of its log.
            command: Program and arguments.
            directory: Where it runs; beside its log by default.
            environment: Variables of its own.
        """
        process = Process(
            name,
            command,
            log_path=self.log_path(name),
            directory=directory or self._logs,
            environment={**self._environment, **environment},
        )
        self.running.append(process)
        return process

    def log_path(self, name: str) -> Path:
        """Return the file that the output of a process goes to."""
        return self._logs / f"{name.replace(' ', '-').replace('/', '-')}.log"

    def check(self, *, may_end: bool = False) -> None:
        """See that all of them run; see `Process.check`."""
        for process in self.running:
            process.check(may_end=may_end)

    def tails(self) -> str:
        """Return the end of every log, for the end of an error message."""
        return "".join(f"\n{process.name}:{tail(process.log_path)}" for process in self.running)

    def stop(self) -> None:
        """Ask all of them to stop at once, then kill what is left of their groups."""
        try:
            for process in self.running:
                process.ask_to_stop()
            deadline = time.monotonic() + self._stop_seconds
            for process in self.running:
                process.wait(max(0.1, deadline - time.monotonic()))
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill all of their process groups."""
        for process in self.running:
            process.kill()
        self.running.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
