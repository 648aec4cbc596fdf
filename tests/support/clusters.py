"""Clusters of Postgres as an operator runs them, with Debian's programs: archives, base backups, replicas."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bridge.demo.servers import postgres_versions
from bridge.demo.servers.server import environment
from tests.support import servers

COMMAND_SECONDS = 120
AS_ROOT = """#!/bin/sh
exec setpriv --reuid=nobody --regid=nogroup --clear-groups {program} "$@"
"""
PROGRAMS = ("initdb", "pg_ctl", "pg_basebackup", "pg_upgrade")  # these must not run as root
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
timezone = 'UTC'
max_connections = 50
"""


class Clusters:
    """A directory with clusters, and the programs to run them.

    Attributes:
        home: Where data directories go.
        path: The `PATH` that finds the programs of one version of Postgres, for root too.
    """

    def __init__(self, home: Path, binaries: Path) -> None:
        self.home = home
        if os.geteuid() == 0:
            shutil.chown(home, "nobody", "nogroup")
        self.path = self.path_of(binaries)

    def path_of(self, binaries: Path) -> str:
        """Return the `PATH` that finds these programs, for root too."""
        programs = Path(tempfile.mkdtemp(prefix="programs-", dir=self.home))
        programs.chmod(0o755)
        if os.geteuid() == 0:
            for name in PROGRAMS:
                (programs / name).write_text(AS_ROOT.format(program=binaries / name))
                (programs / name).chmod(0o755)
        return os.pathsep.join([str(programs), str(binaries), os.environ["PATH"]])

    def run(self, *command: str, **env: str) -> str:
        """Run a program; return what it printed."""
        done = subprocess.run(
            command,
            env={**environment(), "PATH": self.path, **env},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def make(self, name: str, **settings: str) -> Path:
        """Make a cluster; return its data directory."""
        data = self.home / name
        self.run("initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
        with (data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS + "".join(f"{name} = '{value}'\n" for name, value in settings.items()))
        return data

    def start(self, data: Path, port: int) -> str:
        """Start a cluster; return its URL."""
        log = str(self.home / f"{data.name}.log")
        self.run("sh", "-c", f"pg_ctl -D {data} -o '-p {port}' -w -l {log} start >/dev/null")
        return url(port)

    def stop(self, data: Path, mode: str = "fast") -> None:
        """Stop a cluster; in the mode `immediate` what is not on its disk yet is lost."""
        self.run("pg_ctl", "-D", str(data), "-m", mode, "-w", "stop")

    def close(self) -> None:
        """Stop all that run, those that a page's commands have started too."""
        for file in self.home.glob("*/postmaster.pid"):
            with suppress(AssertionError):
                self.stop(file.parent, "immediate")


def url(port: int) -> str:
    """Return the superuser's URL of a cluster."""
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


@contextmanager
def clusters() -> Iterator[Clusters]:
    """Make a place for clusters; skip where no complete installation of Postgres is at hand."""
    found = [place for place in postgres_versions().values() if (place / "pg_basebackup").exists()]
    if not found or (os.geteuid() == 0 and not shutil.which("setpriv")):
        servers.need_postgres_programs()
        pytest.skip("no installation of Postgres has pg_basebackup")
    with tempfile.TemporaryDirectory(prefix="bridge-clusters-", dir="/tmp", ignore_cleanup_errors=True) as name:
        it = Clusters(Path(name), found[0])
        try:
            yield it
        finally:
            it.close()
