"""A Redis of the test's own, on one port, which it stops, starts again, and gives back its old file."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

from bridge.demo.process import Process
from bridge.demo.servers.redis_server import _binary
from bridge.demo.servers.server import environment, free_port
from tests.support.waiting import wait_until


class OwnRedis:
    """A Redis that writes its file only when it is told to.

    Args:
        directory: For its file and its log.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.port = directory, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: Process | None = None

    def ask(self, *command: Any) -> Any:
        with Redis(port=self.port, socket_timeout=10) as client:
            return client.execute_command(*command)

    def start(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self.directory}
        command = [_binary(), *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
        self._process = Process(
            "redis",
            command,
            log_path=self.directory / "redis.log",
            directory=self.directory,
            environment=environment(),
            orphaned=signal.SIGKILL,
        )
        wait_until(self._answers, what="redis answers")

    def kill(self) -> None:
        assert self._process is not None
        self._process.stop(30, signal.SIGKILL)

    def restart(self, *, keep: bool) -> None:
        """Kill it, and start it with its file or without one."""
        self.kill()
        if not keep:
            (self.directory / "dump.rdb").unlink(missing_ok=True)
        self.start()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except RedisError:
            return False
