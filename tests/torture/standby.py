"""A replica of the torture's Postgres, which takes its place: with all that was written, or without the last of it.

It is reached at the address of the server that it replaces, as behind a virtual address that has moved.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg

from bridge.demo.process import Process, as_user
from bridge.demo.servers.server import environment, free_port

SECONDS = 60.0
FOLLOWS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"


class Standby:
    """A replica, made anew for each fail-over, and the server that it follows.

    Whoever calls this must go on until the torture ends: a server ends with the thread that started it.

    Args:
        url: The server, as a superuser.
        directory: Where logs go.
    """

    def __init__(self, url: str, directory: Path) -> None:
        self._url, self._log = url, directory / "standby-postgres.log"
        self._port = urlsplit(url).port
        with psycopg.connect(url) as connection:
            ((data,),) = connection.execute("SHOW data_directory").fetchall()
        self._data, self._first_data = Path(str(data)), str(data)
        server = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        self._command = server.cmdline()
        self._user = pwd.getpwuid(server.uids().real) if os.geteuid() == 0 else None
        self._primary: Process | psutil.Process = server
        self._replica: Process | None = None
        self._number = 0

    def follow(self) -> None:
        """Make a replica, and wait until it follows."""
        self._number += 1
        self._copy = self._data.with_name(f"standby-{self._number}")
        program = Path(self._command[0]).with_name("pg_basebackup")
        subprocess.run(
            [program, "-d", self._url, "-D", self._copy, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=self._data.parent,
            env=environment(),
            timeout=SECONDS,
            **as_user(self._user),
        )
        self._replica = self._start(self._copy, free_port())
        self._wait(self._is_followed)

    def stop_following(self) -> None:
        """Stop the replica: it lacks what is written from now on."""
        assert self._replica is not None
        self._replica.stop(SECONDS, signal.SIGINT)

    def take_over(self, *, crash: bool) -> None:
        """End the primary, and let the replica take its place and its address.

        Args:
            crash: End it at once; in order it sends a replica that follows all that it has.
        """
        self._end(signal.SIGQUIT if crash else signal.SIGINT)
        self.stop_following()
        self._primary = self._start(self._copy, int(self._port or 0))
        self._data = self._copy
        self._wait(self._answers)
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote(true, 60)")

    def close(self) -> None:
        """Stop what was started here."""
        for process in (self._replica, self._primary):
            if isinstance(process, Process):
                process.stop(SECONDS, signal.SIGINT)

    def _start(self, data: Path, port: int) -> Process:
        values = {self._first_data: str(data), f"port={self._port}": f"port={port}"}
        command = [values.get(part, part) for part in self._command]
        return Process(
            "standby postgres",
            command,
            log_path=self._log,
            directory=data.parent,
            environment=environment(),
            user=self._user,
        )

    def _end(self, number: signal.Signals) -> None:
        if isinstance(self._primary, Process):
            self._primary.stop(SECONDS, number)
        else:
            self._primary.send_signal(number)
            self._primary.wait(SECONDS)

    def _is_followed(self) -> bool:
        with psycopg.connect(self._url, autocommit=True) as connection:
            row = connection.execute(FOLLOWS).fetchone()
        return row == (1,)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._url).close()
        except psycopg.OperationalError:
            return False
        return True

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(self._log.read_text()[-2000:])
            time.sleep(0.1)
