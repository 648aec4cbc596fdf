"""The Celery processes under torture: each in a group of its own with a log of its own, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

STOP_SECONDS = 20.0


class Process:
    """`celery ARGUMENTS`, now and after every kill.

    Args:
        name: Of its log, and what the report calls it.
        arguments: For `celery`.
        directory: Where it runs.
        environment: Beside what we inherit, less our own settings of Celery and the bridge.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], *, directory: Path, environment: Mapping[str, str], logs: Path
    ) -> None:
        self.name, self._arguments, self._directory = name, arguments, directory
        self.log = logs / f"{name.replace(' ', '-')}.log"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("CELERY", "BRIDGE_"))}
        self._environment = {**inherited, "PYTHONUNBUFFERED": "1", **environment}
        self._process = self._start()

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def restart(self) -> None:
        """Kill -9 all of its processes, and start it again at once."""
        self.kill()
        self._process = self._start()

    def kill(self) -> None:
        """Kill -9 all of its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def children(self, *, connected_to: int | None = None) -> list[psutil.Process]:
        """Its child processes; those with a connection to this port only, if one is given."""
        found = []
        with suppress(psutil.Error):
            for child in psutil.Process(self._process.pid).children():
                with suppress(psutil.Error):
                    ports = {address.raddr.port for address in child.net_connections("tcp") if address.raddr}
                    if connected_to is None or connected_to in ports:
                        found.append(child)
        return found

    def stop(self) -> None:
        """Ask it to end; kill what is left of it after a while."""
        if self.is_alive():
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "celery", *self._arguments],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us, and we stop it
            )
