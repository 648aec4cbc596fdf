"""The disk of the torture's Postgres: it is copied, and later put back, as a snapshot of a volume is.

What was committed in between is lost, and offsets are drawn once more. Nobody tells the bridge.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg

from bridge.demo.process import Process
from bridge.demo.servers.server import environment

STOP_SECONDS = READY_SECONDS = 60.0
RESYNC_SECONDS = 120.0
THIS_TREE = Path(__file__).parents[2]


def resync(database_url: str, broker_url: str) -> str:
    """Do what an operator does after a restore; return what the command says."""
    given = {"BRIDGE_DATABASE_URL": database_url, "CELERY_BROKER_URL": broker_url, "PYTHONPATH": str(THIS_TREE)}
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "resync", "--yes"],
        env=os.environ | given,
        capture_output=True,
        text=True,
        check=False,
        timeout=RESYNC_SECONDS,
    )
    if done.returncode:
        raise RuntimeError(f"resync failed: {done.stdout}{done.stderr}")
    return done.stdout.strip()


class Volume:
    """The data directory of a running server, and the server itself.

    Whoever calls this must go on until the torture ends: the server ends with the thread that started it.

    Args:
        url: The server, as a superuser.
        directory: Where its log goes.
    """

    def __init__(self, url: str, directory: Path) -> None:
        self._url, self._log = url, directory / "restored-postgres.log"
        with psycopg.connect(url) as connection:
            ((data,),) = connection.execute("SHOW data_directory").fetchall()
        self._data = Path(str(data))
        self._copy = self._data.with_name("copy")
        server = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        self._command = server.cmdline()
        self._user = pwd.getpwuid(server.uids().real) if os.geteuid() == 0 else None
        self._server: Process | None = None

    def keep(self) -> None:
        """Copy the disk, with the server stopped for a moment."""
        self._stop()
        shutil.rmtree(self._copy, ignore_errors=True)
        subprocess.run(["cp", "-a", str(self._data), str(self._copy)], check=True)
        self._start()

    def put_back(self) -> None:
        """Put the copy back, with the server stopped for a moment."""
        self._stop()
        shutil.rmtree(self._data)
        subprocess.run(["cp", "-a", str(self._copy), str(self._data)], check=True)
        self._start()

    def close(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.stop(STOP_SECONDS, signal.SIGINT)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.stop(STOP_SECONDS, signal.SIGINT)
            return
        server = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        server.send_signal(signal.SIGINT)
        server.wait(STOP_SECONDS)

    def _start(self) -> None:
        self._server = Process(
            "restored postgres",
            self._command,
            log_path=self._log,
            directory=self._data.parent,
            environment=environment(),
            user=self._user,
        )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                psycopg.connect(self._url).close()
                return
            except psycopg.OperationalError:
                self._server.check()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
