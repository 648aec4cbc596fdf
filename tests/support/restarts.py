"""An embedded Postgres that a test stops and starts again, on the same port with the same data."""

from __future__ import annotations

import os
import pwd
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

from bridge.demo.process import Process
from bridge.demo.servers.server import environment

STOP_SECONDS = 60.0


class RestartablePostgres:
    """A server that another has started; afterwards it is ours.

    Args:
        data: Its data directory.
        log_path: File that the output of a server that we start goes to.
    """

    def __init__(self, data: str, *, log_path: Path) -> None:
        self._data, self._log_path = Path(data), log_path
        running = psutil.Process(int((self._data / "postmaster.pid").read_text().splitlines()[0]))
        self._running: psutil.Process | Process = running
        self._command = running.cmdline()
        self._user = pwd.getpwuid(running.uids().effective) if os.geteuid() == 0 else None

    def stop(self) -> None:
        """Stop it in order; its clients lose their connections."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Stop it at once."""
        self._end(signal.SIGQUIT)

    def start(self) -> None:
        """Start it again, unless it runs."""
        if isinstance(self._running, psutil.Process) and self._running.is_running():
            return
        if isinstance(self._running, Process) and self._running.exit_code is None:
            return
        self._running = Process(
            "postgres",
            self._command,
            log_path=self._log_path,
            directory=self._data.parent,
            environment=environment(),
            user=self._user,
        )

    def _end(self, number: signal.Signals) -> None:
        if isinstance(self._running, Process):
            self._running.stop(STOP_SECONDS, number)
        else:
            with suppress(psutil.NoSuchProcess):
                self._running.send_signal(number)
                self._running.wait(STOP_SECONDS)


def answers(database: str) -> bool:
    """Tell whether the server accepts a connection."""
    try:
        psycopg.connect(database).close()
    except psycopg.OperationalError:
        return False
    return True
