"""Run a throw-away PgBouncer of the Debian package, in front of the Postgres that all tests share."""

from __future__ import annotations

import os
import pwd
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest

from bridge.demo.servers.server import enter_on_free_port, server
from bridge.errors import BridgeError
from tests.support.servers import missing

PROGRAM = Path("/usr/sbin/pgbouncer")
INSTALL = "run scripts/servers as root, or install your system's package pgbouncer"

PoolMode = Literal["transaction", "session", "statement"]


def installed() -> str:
    """Return the path of the program, or how to get it."""
    return str(PROGRAM) if PROGRAM.exists() else f"none ({INSTALL})"


@contextmanager
def pgbouncer(postgres_url: str, *, mode: PoolMode, size: int) -> Iterator[int]:
    """Run a PgBouncer on 127.0.0.1, in front of every database of a server.

    Args:
        postgres_url: The superuser's URL; every client gets its role and password.
        mode: How long a client keeps its server session: for a transaction, or for its own session.
        size: Number of server sessions for each database.

    Yields:
        Its port.
    """
    if not PROGRAM.exists():
        missing(f"PgBouncer is not installed: {INSTALL}")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgbouncer-")))
        home.chmod(0o755)  # it refuses to run as root, and then another user reads its configuration
        try:
            yield enter_on_free_port(stack, lambda port: _pooler(port, home, _settings(port, postgres_url, mode, size)))
        except BridgeError as error:
            pytest.exit(f"PgBouncer did not start: {error}", returncode=1)


def _pooler(port: int, home: Path, settings: str) -> AbstractContextManager[int]:
    configuration = home / f"{port}.ini"
    configuration.write_text(settings)
    configuration.chmod(0o644)
    log = home / f"{port}.log"
    return server(
        "pgbouncer",
        [str(PROGRAM), str(configuration)],
        is_ready=lambda _: (
            f"listening on 127.0.0.1:{port}" in log.read_text()
        ),  # on this port another process may answer
        log=log,
        directory=home,
        stop=signal.SIGTERM,
        orphaned=signal.SIGTERM,
        user=pwd.getpwnam("nobody") if os.getuid() == 0 else None,
    )


def _settings(port: int, postgres_url: str, mode: PoolMode, size: int) -> str:
    target = urlsplit(postgres_url)
    login = f"host={target.hostname} port={target.port or 5432} user={target.username}"
    if target.password:
        login += f" password={target.password}"
    lines = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": mode,
        "default_pool_size": size,
        "server_round_robin": 1,  # or else a single client always gets the same server session
        "max_client_conn": 200,
    }
    body = "\n".join(f"{name} = {value}" for name, value in lines.items())
    return f"[databases]\n* = {login}\n\n[pgbouncer]\n{body}\n"
