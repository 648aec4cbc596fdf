"""One server process: starts in a session of its own, is waited for, and dies with its owner.

Ctrl-C reaches us and not the server, which is still there while we shut down. On Linux the kernel stops it
when the thread that started it ends, even by ``kill -9``.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bridge.errors import BridgeError

READY_SECONDS = 120.0
STOP_SECONDS = 30.0
LOG_TAIL_LINES = 30
PORT_ATTEMPTS = 3
PR_SET_PDEATHSIG = 1


@contextmanager
def server(
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
        command: Program and arguments.
        is_ready: Tells, given the server's pid, whether that very process serves.
        log: Where its output goes.
        directory: Where it runs.
        stop: What makes it stop in order.
        orphaned: What the kernel sends it when we are gone.
        user: Who runs it; None for ourselves.

    Yields:
        Its pid, once it is ready.

    Raises:
        BridgeError: it did not start; the message ends with its log.
    """
    with log.open("ab") as out:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=environment(),
                start_new_session=True,  # or else Ctrl-C takes the server away from under us
                preexec_fn=die_with_parent(orphaned),  # noqa: PLW1509 - one system call, takes no lock
                **as_user(user),
            )
        except OSError as error:
            raise BridgeError(f"{command[0]} can't be run: {error}") from error
    try:
        _wait_until_ready(process, is_ready, log)
        yield process.pid
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_SECONDS)
        except BaseException as error:
            process.kill()
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise


def enter_on_free_port(stack: ExitStack, start: Callable[[int], AbstractContextManager[int]]) -> int:
    """Start a server on a free port and return the port; somebody else may take it first, so try again."""
    for attempt in range(1, PORT_ATTEMPTS + 1):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        try:
            stack.enter_context(start(port))
            break
        except BridgeError:
            if attempt == PORT_ATTEMPTS:
                raise
    return port


def as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments that make `subprocess` run something as `user`, and in none of our own groups."""
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def environment() -> dict[str, str]:
    """Return our environment without what would change a server: PGDATA, PGPORT, a locale it may lack."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def tail(log: Path) -> str:
    """Return the end of a log, indented, as the end of an error message."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "".join(f"\n  | {line}" for line in lines)


def _wait_until_ready(process: subprocess.Popen[bytes], is_ready: Callable[[int], bool], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready(process.pid):
        if process.poll() is not None:
            raise BridgeError(f"a server ended with exit code {process.returncode} while starting{tail(log)}")
        if time.monotonic() > deadline:
            raise BridgeError(f"a server was not ready after {READY_SECONDS:.0f} s{tail(log)}")
        time.sleep(0.02)


def die_with_parent(signal_number: signal.Signals) -> Callable[[], None] | None:
    """Return what the child does between fork and exec; everything is looked up here, before the fork."""
    if sys.platform != "linux":
        return None
    prctl, parent, number = ctypes.CDLL(None).prctl, os.getpid(), int(signal_number)

    def ask_the_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask_the_kernel
