"""Run a throw-away PgBouncer of the Debian package, in front of one Postgres, and later of another one."""

from __future__ import annotations

import os
import pwd
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

import psycopg
import pytest

from bridge.demo.servers.server import enter_on_free_port, server
from bridge.errors import BridgeError
from tests.support.servers import missing

PROGRAM = Path("/usr/sbin/pgbouncer")
INSTALL = "run scripts/servers as root, or install your system's package pgbouncer"

NOTHING: Mapping[str, int] = MappingProxyType({})

CONSOLE = "pgbouncer"  # the user, and the name of its own database

PoolMode = Literal["transaction", "session", "statement"]


def installed() -> str:
    """Return the path of the program, or how to get it."""
    return str(PROGRAM) if PROGRAM.exists() else f"none ({INSTALL})"


@contextmanager
def pgbouncer(postgres_url: str, *, mode: PoolMode, size: int, more: Mapping[str, int] = NOTHING) -> Iterator[int]:
    """Run a PgBouncer on 127.0.0.1, in front of every database of a server.

    Args:
        postgres_url: The superuser's URL; every client gets its role and password.
        mode: How long a client keeps its server session: for a transaction, or for its own session.
        size: Number of server sessions for each database.
        more: More of its settings.

    Yields:
        Its port.
    """
    if not PROGRAM.exists():
        missing(f"PgBouncer is not installed: {INSTALL}")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgbouncer-")))
        home.chmod(0o755)  # it refuses to run as root, and then another user reads its configuration
        try:
            yield enter_on_free_port(
                stack, lambda port: _pooler(port, home, _settings(port, postgres_url, mode, size, more=more))
            )
        except BridgeError as error:
            pytest.exit(f"PgBouncer did not start: {error}", returncode=1)


class Pooler:
    """A PgBouncer in front of the database `postgres` of one server, which it is pointed away from.

    Attributes:
        url: The database, through the pooler.
    """

    def __init__(self, port: int, home: Path, settings: Callable[[str], str]) -> None:
        self._port, self._home, self._settings = port, home, settings
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def point_at(self, postgres_url: str) -> None:
        """Change its configuration, and let it read that."""
        (self._home / f"{self._port}.ini").write_text(self._settings(postgres_url))
        self.tell("RELOAD")

    def tell(self, command: str) -> None:
        """Give it a command, as its administrator."""
        console = f"postgresql://{CONSOLE}@127.0.0.1:{self._port}/pgbouncer"
        with psycopg.connect(console, autocommit=True) as connection:
            done = connection.pgconn.exec_(command.encode())  # it knows no extended protocol
            assert not done.error_message, done.error_message


@contextmanager
def pooler(postgres_url: str, *, mode: PoolMode, size: int) -> Iterator[Pooler]:
    """Run a PgBouncer that can be pointed at another server.

    Args:
        postgres_url: The superuser's URL of the database `postgres`.
        mode: As `pgbouncer` takes it.
        size: Number of server sessions.
    """
    if not PROGRAM.exists():
        missing(f"PgBouncer is not installed: {INSTALL}")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgbouncer-")))
        home.chmod(0o755)

        def settings(port: int, url: str) -> str:
            # A server that was not there is tried again soon, and not after 15 seconds.
            return _settings(port, url, mode, size, database="postgres", more={"server_login_retry": 1})

        port = enter_on_free_port(stack, lambda port: _pooler(port, home, settings(port, postgres_url)))
        yield Pooler(port, home, lambda url: settings(port, url))


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


def _settings(
    port: int, postgres_url: str, mode: PoolMode, size: int, *, database: str = "*", more: Mapping[str, int] = NOTHING
) -> str:
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
        "admin_users": CONSOLE,
        **more,
    }
    body = "\n".join(f"{name} = {value}" for name, value in lines.items())
    return f"[databases]\n{database} = {login}\n\n[pgbouncer]\n{body}\n"
