"""Run a throw-away Prometheus of the Debian package, and ask it; or its promtool."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from bridge.demo.servers.server import enter_on_free_port, server
from bridge.errors import BridgeError
from tests.support.servers import missing

PROGRAM, TOOL = Path("/usr/bin/prometheus"), Path("/usr/bin/promtool")
INSTALL = "run scripts/servers as root, or install your system's package prometheus"
CONFIGURATION = """
global: {{scrape_interval: 500ms, evaluation_interval: 1s}}
scrape_configs:
  - job_name: bridge
    static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
"""


def installed() -> str:
    """Return the path of the program, or how to get it."""
    return str(PROGRAM) if PROGRAM.exists() else f"none ({INSTALL})"


def promtool(*args: str | Path, stdin: str = "") -> str:
    """Run promtool; return what it says, and fail the test if it finds anything wrong."""
    if not TOOL.exists():
        missing(f"promtool is not installed: {INSTALL}")
    done = subprocess.run([TOOL, *args], input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Prometheus:
    """A Prometheus that scrapes one exporter.

    Args:
        port: Where it answers.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression gives now: labels and values."""
        found = self._ask("query", query=expression)["result"]
        assert isinstance(found, list), f"{expression} is no vector"
        return found

    def _ask(self, what: str, **arguments: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self._port}/api/v1/{what}?{urlencode(arguments)}", timeout=30) as answer:
            return json.load(answer)["data"]


@contextmanager
def prometheus(directory: Path, *, target: int) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes an exporter on this port of 127.0.0.1, twice a second."""
    if not PROGRAM.exists():
        missing(f"Prometheus is not installed: {INSTALL}")
    configuration = directory / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(target=target))

    def start(port: int) -> Any:
        log = directory / f"prometheus-{port}.log"
        command = [
            str(PROGRAM),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        return server(
            "prometheus",
            command,
            is_ready=lambda _: "Server is ready to receive web requests" in log.read_text(),
            log=log,
            directory=directory,
            stop=signal.SIGTERM,
            orphaned=signal.SIGKILL,
        )

    with ExitStack() as stack:
        try:
            port = enter_on_free_port(stack, start)
        except BridgeError as error:
            pytest.exit(f"Prometheus did not start: {error}", returncode=1)
        yield Prometheus(port)
