"""Run one server until its ``with`` block ends, on a port that was free."""

from __future__ import annotations

import pwd
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from bridge.demo.process import Process, inherited
from bridge.errors import BridgeError

READY_SECONDS = 120.0
STOP_SECONDS = 30.0
PORT_ATTEMPTS = 3


@contextmanager
def server(
    name: str,
    command: Sequence[str],
    *,
    is_ready: Callable[[int], bool],
    log: Path,
    directory: Path,
    stop: signal.Signals,
    orphaned: signal.Signals,
    user: pwd.struct_passwd | None = None,
) -> Iterator[int]:
    """Run a server that stays in the foreground.

    Args:
        name: What messages call it.
        command: Program and arguments.
        is_ready: Tells, given the server's pid, whether that very process serves.
        log: Where its output goes.
        directory: Where it runs.
        stop: The signal that makes it stop in order.
        orphaned: What the kernel sends it when we die.
        user: Who runs it; None for ourselves.

    Yields:
        Its pid, once it is ready.

    Raises:
        BridgeError: it did not start; the message ends with its log.
    """
    process = Process(
        name,
        command,
        log_path=log,
        directory=directory,
        environment=environment(),
        orphaned=orphaned,
        user=user,
    )
    try:
        process.wait_until(lambda: is_ready(process.pid), seconds=READY_SECONDS)
        yield process.pid
    finally:
        process.stop(STOP_SECONDS, stop)


def enter_on_free_port(stack: ExitStack, start: Callable[[int], AbstractContextManager[int]]) -> int:
    """Start a server on a free port and return the port; try again where another process takes the port first."""
    for attempt in range(1, PORT_ATTEMPTS + 1):
        port = free_port()
        try:
            stack.enter_context(start(port))
            break
        except BridgeError:
            if attempt == PORT_ATTEMPTS:
                raise
    return port


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    """Return our environment without what would change a server: PGDATA, PGPORT, a locale it may lack."""
    return {**inherited(("PG", "LC_", "LANG")), "LC_ALL": "C"}
