"""Start, watch and stop a child process: a server or a worker of the demo, the tests or the benchmarks.

It runs in a session of its own, with its output in a log. Ctrl-C therefore reaches us and not the child,
which we stop in order. On Linux the kernel signals the child when the thread that started it ends, even by ``kill -9``:
nothing outlives its owner.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bridge.errors import BridgeError

STOP_SECONDS = 15.0
POLL_SECONDS = 0.02
LOG_TAIL_LINES = 30
PR_SET_PDEATHSIG = 1
# Variables with these prefixes configure Celery, Postgres or the bridge. Ours must not configure a child.
SETTINGS = ("BRIDGE_", "CELERY", "FORKED_BY_MULTIPROCESSING", "PG")


class Process:
    """A child process that runs until it is stopped.

    Args:
        name: What messages call it, such as `fleet worker 1`.
        command: Program and arguments.
        log_path: File that its output is appended to.
        directory: Where it runs.
        environment: All of its environment; see `inherited`.
        orphaned: What the kernel sends it when we die. SIGQUIT ends a Celery worker at once.
        user: Who runs it; None for ourselves.

    Raises:
        BridgeError: the program can't be run.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log_path: Path,
        directory: Path,
        environment: Mapping[str, str],
        orphaned: signal.Signals = signal.SIGQUIT,
        user: pwd.struct_passwd | None = None,
    ) -> None:
        self.name, self.log_path = name, log_path
        self._command, self._directory, self._environment = command, directory, environment
        self._orphaned, self._user = orphaned, user
        self._child = self._start()

    @property
    def pid(self) -> int:
        """Pid of the process, and id of its process group."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._child.poll()

    @property
    def log(self) -> str:
        """All that it has printed up to now."""
        return self.log_path.read_text(errors="replace")

    def check(self, *, may_end: bool = False) -> None:
        """See that it runs.

        Args:
            may_end: Accept that it has ended with exit code 0.

        Raises:
            BridgeError: it has ended; the message ends with its log.
        """
        code = self.exit_code
        if code or (code == 0 and not may_end):
            raise BridgeError(f"the {self.name} has ended with exit code {code}{tail(self.log_path)}")

    def wait_until(self, is_ready: Callable[[], object], *, seconds: float) -> None:
        """Wait until `is_ready` returns something true.

        Raises:
            BridgeError: it has ended, or was not ready in time; the message ends with its log.
        """
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise BridgeError(f"the {self.name} was not ready after {seconds:.0f} s{tail(self.log_path)}")
            time.sleep(POLL_SECONDS)

    def ask_to_stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the process itself, not to its children; does not wait."""
        self._child.send_signal(number)  # does nothing if it has ended

    def wait(self, seconds: float) -> int | None:
        """Wait until it ends; return its exit code, or None if it still runs after `seconds`."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)
        return self.exit_code

    def stop(self, seconds: float = STOP_SECONDS, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, then kill what is left of its group.

        Args:
            seconds: How long it may take to stop by itself.
            number: The signal that makes it stop in order.

        Returns:
            Its exit code: `-signal.SIGKILL` if it took too long.
        """
        try:
            self.ask_to_stop(number)
            self.wait(seconds)
        finally:
            self.kill()
        return self._child.wait()

    def kill(self, number: signal.Signals = signal.SIGKILL, *, group: bool = True) -> None:
        """Send a signal to its process group, or to the process alone; wait for the end after SIGKILL."""
        with suppress(ProcessLookupError):
            if group:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        if number == signal.SIGKILL:
            self._child.wait()

    def restart(self) -> None:
        """Kill its process group, and start the same command again at once."""
        self.kill()
        self._child = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as out:
            try:
                return subprocess.Popen(
                    self._command,
                    cwd=self._directory,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # or else Ctrl-C stops it before us, and its children in any order
                    preexec_fn=die_with_parent(self._orphaned),  # noqa: PLW1509 - one system call, takes no lock
                    **as_user(self._user),
                )
            except OSError as error:
                raise BridgeError(f"{self._command[0]} can't be run: {error}") from error


def inherited(without: Sequence[str] = SETTINGS) -> dict[str, str]:
    """Return our environment, without the variables whose names begin with one of these."""
    return {name: value for name, value in os.environ.items() if not name.startswith(tuple(without))}


def as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments that make `subprocess` run something as `user`, and in none of our own groups."""
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def tail(log: Path) -> str:
    """Return the end of a log, indented, for the end of an error message."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "".join(f"\n  | {line}" for line in lines)


def die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """Return what the child does between fork and exec, to be signalled when we die; None where that can't be had.

    Everything is looked up here, before the fork: after it, another thread's lock may never be released.
    """
    if sys.platform != "linux":
        return None
    prctl, parent, wanted = ctypes.CDLL(None).prctl, os.getpid(), int(number)

    def ask_the_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, wanted, 0, 0, 0)
        if os.getppid() != parent:  # we died before it asked
            os._exit(1)

    return ask_the_kernel
