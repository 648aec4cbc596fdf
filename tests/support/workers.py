"""Real Celery workers: processes that can be killed, and that may run another Python or another Celery."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.waiting import wait_until

READY_SECONDS = 60.0
STOP_SECONDS = 30.0


class Worker:
    """A `celery worker` in a process group of its own, with its log in a file."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._process = process

    @property
    def pid(self) -> int:
        """Pid of the parent process, and id of the process group."""
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has printed up to now."""
        return self.log_path.read_text(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._process.poll()

    def wait_until_ready(self, timeout: float = READY_SECONDS) -> None:
        """Wait for Celery's own word that it consumes."""

        def is_ready() -> bool:
            if self.exit_code is not None:
                raise AssertionError(f"worker {self.name} ended with {self.exit_code}:\n{self.log[-4000:]}")
            return " ready." in self.log

        try:
            wait_until(is_ready, timeout=timeout, what=f"worker {self.name} is ready")
        except AssertionError as error:
            error.add_note(self.log[-4000:])
            raise

    def kill(self, number: signal.Signals = signal.SIGKILL, *, group: bool = True) -> None:
        """Send a signal to all of its processes, or to the parent alone; SIGKILL is waited for."""
        with suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        if number == signal.SIGKILL:
            self._process.wait(STOP_SECONDS)

    def stop(self, timeout: float = STOP_SECONDS) -> int:
        """Shut it down warmly, and the hard way if that takes too long; return its exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.kill(signal.SIGKILL)  # whatever is left of the group
        return self._process.wait(STOP_SECONDS)


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
    args: Sequence[str] = (),
) -> Worker:
    """Start `celery -A APP worker` in `directory`; does not wait for it."""
    command = [str(python), "-m", "celery"]
    command += ["-A", app] if app else []
    command += ["worker", "--hostname", f"{name}@%h", "--queues", ",".join(queues), "--loglevel", "INFO"]
    command += ["--pool", pool, "--concurrency", str(concurrency), "--without-mingle", "--without-gossip"]
    if "-B" in args or "--beat" in args:
        command += ["--schedule", str(log_path.with_suffix(".schedule"))]  # not into the repository
    # What configures us must not configure it: a test says all that its worker gets.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("CELERY", "BRIDGE_"))}
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [*command, *args],
            cwd=directory,
            env={**inherited, "PYTHONUNBUFFERED": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Worker(name, process, log_path)
