"""A Redis primary, a replica of it, and three Sentinels that see to it that one of them serves."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisError

from bridge.demo.process import Process
from bridge.demo.servers.redis_server import _binary
from bridge.demo.servers.server import environment, free_port
from tests.support.waiting import wait_until

NAME = "mymaster"
DOWN_MILLISECONDS = 1000
SENTINEL = """port {port}
bind 127.0.0.1
dir {directory}
sentinel resolve-hostnames yes
sentinel monitor {name} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {name} {down}
sentinel failover-timeout {name} 5000
sentinel parallel-syncs {name} 1
"""


class Sentinels:
    """Two servers and three Sentinels.

    Args:
        directory: For their files and logs.

    Attributes:
        ports: Of the Sentinels.
        primary: The port of the server that serves at first, and after a fail-over of the other one.
        replica: The port of the other one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes: dict[int, Process] = {}
        self.primary, self.replica = free_port(), free_port()
        self.ports: list[int] = []

    @property
    def url(self) -> str:
        """The URL that Celery takes."""
        return ";".join(f"sentinel://127.0.0.1:{port}" for port in self.ports)

    def start(self) -> None:
        """Start all of them, and wait until the Sentinels know each other and the replica."""
        self.start_server(self.primary)
        self.start_server(self.replica)
        self.ask(self.replica, "REPLICAOF", "127.0.0.1", self.primary)
        wait_until(lambda: b"master_link_status:up" in self._info(self.replica), what="the replica follows")
        for _ in range(3):
            self.ports.append(self._start_sentinel())
        wait_until(lambda: all(map(self._knows_all, self.ports)), timeout=60, what="the Sentinels know each other")

    def start_server(self, port: int) -> None:
        """Start a server that is empty."""
        options = {"port": port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "replica-read-only": "no"}
        options |= {"repl-diskless-sync-delay": 0, "dir": self._directory}
        self._start(port, [part for name, value in options.items() for part in (f"--{name}", str(value))])

    def kill_primary(self) -> None:
        """Kill the server that serves; nobody is told."""
        self._processes[self.primary].stop(30, signal.SIGKILL)

    def wait_for_fail_over(self) -> None:
        """Wait until all Sentinels name the replica, and it takes writes; the two have changed roles then."""
        wait_until(self._has_failed_over, timeout=90, what="the replica was promoted")
        self.primary, self.replica = self.replica, self.primary

    def ask(self, port: int, *command: Any) -> Any:
        """Give one of them a command."""
        with Redis(port=port, socket_timeout=10) as client:
            client.response_callbacks.clear()  # as the server says it
            return client.execute_command(*command)

    def close(self) -> None:
        """Kill all of them."""
        for process in self._processes.values():
            process.stop(30, signal.SIGKILL)

    def _start(self, port: int, options: list[str]) -> None:
        self._processes[port] = Process(
            f"redis {port}",
            [_binary(), *options],
            log_path=self._directory / f"redis-{port}.log",
            directory=self._directory,
            environment=environment(),
            orphaned=signal.SIGKILL,
        )
        wait_until(lambda: self._answers(port), what="redis answers")

    def _start_sentinel(self) -> int:
        port = free_port()
        directory = self._directory / f"sentinel-{port}"
        directory.mkdir()
        configuration = directory / "sentinel.conf"  # it writes what it finds out into it
        configuration.write_text(
            SENTINEL.format(port=port, directory=directory, name=NAME, primary=self.primary, down=DOWN_MILLISECONDS)
        )
        self._start(port, [str(configuration), "--sentinel"])
        return port

    def _has_failed_over(self) -> bool:
        named = {int(self.ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1]) for port in self.ports}
        return named == {self.replica} and b"role:master" in self._info(self.replica)

    def _knows_all(self, port: int) -> bool:
        info = self._info(port, "sentinel")
        return b"slaves=1,sentinels=3" in info and b"status=ok" in info

    def _info(self, port: int, section: str = "replication") -> bytes:
        return bytes(self.ask(port, "INFO", section))

    def _answers(self, port: int) -> bool:
        with suppress(RedisError):
            return bool(self.ask(port, "PING"))
        return False


@contextmanager
def sentinels(directory: Path) -> Iterator[Sentinels]:
    """Run them; skip where the server at hand is built without Sentinel."""
    directory.mkdir(parents=True, exist_ok=True)
    told = subprocess.run([_binary(), "--help"], capture_output=True, text=True, check=False)
    if "--sentinel" not in told.stdout + told.stderr:
        pytest.skip(f"{_binary()} knows no Sentinel mode")
    it = Sentinels(directory)
    try:
        it.start()
        yield it
    finally:
        it.close()
