"""The outbox: reports of the tasks of one process are gathered, and handed on together, in a thread of its own.

The first report after a quiet time is handed on at once; those that come soon after it wait for each other. A report
that can't be handed on is kept and tried again. A process that dies in between has handed nothing on, so its events are
delivered again: redelivery, never loss.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from celery.signals import worker_process_shutdown, worker_shutdown

from bridge.errors import Unavailable
from bridge.trouble import Trouble
from bridge.wording import counted, said

logger = logging.getLogger("bridge.outbox")

GATHER_SECONDS = 0.03  # with the time that settling takes, an outcome is in Postgres within 50 ms
HELD_SECONDS = 0.2  # until those that another transaction holds are tried again, with all that came meanwhile
CLOSING_SECONDS = 5.0  # for which a process that ends waits for them: a pass that has a client is over by then
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.1, 5.0

Report = TypeVar("Report")


class Outbox(Generic[Report]):
    """The reports of one process.

    Args:
        hand_on: Hands on a list of reports, and returns those that must wait for something of their own, or None. These
            are retried a little later; all of them are, if it raises. Any error but `Unavailable` is logged with its
            traceback.
    """

    def __init__(self, hand_on: Callable[[list[Report]], Sequence[Report] | None]) -> None:
        self._hand_on = hand_on
        self._pending: list[Report] = []
        self._lock = threading.Lock()
        self._handing_on = threading.Lock()
        self._wanted = threading.Event()
        self._ending = threading.Event()
        threading.Thread(target=self._run, name="bridge-outbox", daemon=True).start()

    def report(self, reports: Sequence[Report]) -> None:
        """Remember these; they are handed on soon."""
        with self._lock:
            self._pending += reports
        self._wanted.set()

    def flush(self) -> int:
        """Hand on the reports that are pending; return how many of them must wait.

        Raises:
            Unavailable: all of it is still pending.
        """
        with self._handing_on:
            with self._lock:
                reports, self._pending = self._pending, []
            if not reports:
                return 0
            waiting: Sequence[Report] = reports
            try:
                waiting = self._hand_on(reports) or ()
            finally:
                with self._lock:
                    self._pending = [*waiting, *self._pending]
            return len(waiting)

    def close(self) -> None:
        """Hand on the pending reports for the last time; if that fails, their events are delivered again.

        What another transaction holds is waited for, though not for long: a process may end after a few tasks, and the
        pump has a client's row many times a second.
        """
        self._ending.set()
        self._wanted.set()
        why: Exception | None = None
        until = time.monotonic() + CLOSING_SECONDS
        try:
            while self.flush() and time.monotonic() < until:
                time.sleep(HELD_SECONDS)
        except Exception as error:  # whatever it is: there may be other outboxes to close
            why = error
        if self._pending:
            lost = counted(
                len(self._pending), "outcome is not handed on, its event", "outcomes are not handed on, their events"
            )
            unexpected = why if why is not None and not isinstance(why, Unavailable) else None
            logger.warning(
                "%s will come again: %s", lost, said(why or "another transaction holds them"), exc_info=unexpected
            )

    def _run(self) -> None:
        delay, last = 0.0, 0.0
        trouble = Trouble(logger, what="outcomes wait", over="outcomes are handed on again")
        while not self._ending.is_set():
            self._wanted.wait()
            self._ending.wait(max(delay, last + GATHER_SECONDS - time.monotonic()))
            self._wanted.clear()
            try:
                waiting = self.flush()
            except Exception as error:
                self._wanted.set()
                delay = min(max(FIRST_DELAY_SECONDS, delay * 2), LONGEST_DELAY_SECONDS)
                trouble.went(error, unexpected=None if isinstance(error, Unavailable) else error)
            else:
                trouble.back()
                delay = HELD_SECONDS if waiting else 0.0
                if waiting:
                    self._wanted.set()
            last = time.monotonic()


_outboxes: dict[object, Outbox[Any]] = {}
_making = threading.Lock()
_pid = 0


def outbox(purpose: object, hand_on: Callable[[list[Any]], Sequence[Any] | None]) -> Outbox[Any]:
    """Return this process's outbox for a purpose; a forked child has no threads of its parent, so it gets its own."""
    global _pid  # noqa: PLW0603
    with _making:
        if _pid == 0:
            _close_at_the_end()
        if _pid != os.getpid():
            _outboxes.clear()
            _pid = os.getpid()
        if purpose not in _outboxes:
            _outboxes[purpose] = Outbox(hand_on)
        return _outboxes[purpose]


def close_all(**_: Any) -> None:
    """Close this process's outboxes; another worker in this process makes its own."""
    if _pid == os.getpid():
        while _outboxes:
            _outboxes.popitem()[1].close()


def _close_at_the_end() -> None:
    """Close outboxes when the worker, its pool process or the interpreter ends. A forked child inherits all three."""
    worker_process_shutdown.connect(close_all)
    worker_shutdown.connect(close_all)
    atexit.register(close_all)
