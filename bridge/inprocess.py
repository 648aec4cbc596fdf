"""In-process commit: a fleet's own worker reports outcomes to Postgres, and no callback travels through the broker.

For fleets that install this package and can reach the database, and for clients registered with `commit = in-process`: their
messages carry no `link`, which would cost a worker a third of its throughput. Each worker process collects its outcomes and
settles them at the latest 50 ms later, and when it ends. A process that dies before that has settled nothing, so its events
are handed over again: redelivery, never loss. What only Celery's main process sees (a hard time limit, a killed child) is
not reported; the lease covers it.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.signals import task_failure, task_success, worker_process_shutdown, worker_shutdown

from bridge.app import Bridge, bridge_of
from bridge.errors import Unavailable
from bridge.model import Failure, Outcome
from bridge.words import counted

logger = logging.getLogger("bridge.inprocess")

FLUSH_SECONDS = 0.03  # with the time that settling takes, an outcome is in Postgres within 50 ms
HEADERS = ("bridge_client", "bridge_offset", "bridge_offsets", "bridge_epoch", "bridge_attempt", "bridge_signature")


class Reporter:
    """Collects the outcomes of one process and settles them in batches, in a thread of its own.

    Args:
        bridge: Settles them.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.pid = os.getpid()
        self._bridge = bridge
        self._pending: list[Outcome] = []
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._wanted = threading.Event()
        self._ending = threading.Event()
        threading.Thread(target=self._run, name="bridge-reporter", daemon=True).start()

    def report(self, outcomes: Sequence[Outcome]) -> None:
        """Remember outcomes; they are settled soon."""
        with self._lock:
            self._pending += outcomes
        self._wanted.set()

    def flush(self) -> None:
        """Settle what is pending.

        Raises:
            Unavailable: nothing is settled, all of it is still pending.
        """
        with self._settling:
            with self._lock:
                batch, self._pending = self._pending, []
            try:
                self._bridge.settle_outcomes(batch)
            except BaseException:
                with self._lock:
                    self._pending = batch + self._pending
                raise

    def close(self) -> None:
        """Settle what is pending for the last time; what Postgres does not take then is handed over again."""
        self._ending.set()
        self._wanted.set()
        try:
            self.flush()
        except Unavailable as error:
            lost = counted(
                len(self._pending), "outcome is not settled, its event", "outcomes are not settled, their events"
            )
            logger.warning("%s will come again: %s", lost, error)

    def _run(self) -> None:
        delay = FLUSH_SECONDS
        while not self._ending.is_set():
            self._wanted.wait()
            self._ending.wait(delay)
            self._wanted.clear()
            try:
                self.flush()
            except Exception as error:
                self._wanted.set()
                delay = min(max(delay, 0.1) * 2, 5.0)
                logger.warning("outcomes wait: %s", error, exc_info=not isinstance(error, Unavailable))
            else:
                delay = FLUSH_SECONDS


_reporter: Reporter | None = None


def _report(app: Celery, request: Any, failure: Failure | None) -> None:
    """Report the end of a task that came from the bridge without callbacks; of any other task, nothing."""
    if getattr(request, "bridge_signature", None) is None or request.callbacks:
        return
    client, offset, offsets, epoch, attempt, signature = (getattr(request, name, None) for name in HEADERS)
    bridge = bridge_of(app)
    outcomes = bridge.signed_outcomes((client, offsets or offset, epoch, attempt, signature), failure)
    if not outcomes:
        return
    global _reporter  # noqa: PLW0603  # one per process: a child has none of its parent's threads
    if _reporter is None or _reporter.pid != os.getpid():
        _reporter = Reporter(bridge)
    _reporter.report(outcomes)


@task_success.connect
def _succeeded(sender: Any, **_: Any) -> None:
    _report(sender.app, sender.request, None)


@task_failure.connect
def _failed(sender: Any, exception: BaseException, einfo: Any, **_: Any) -> None:
    why = Failure(type=type(exception).__name__, message=str(exception), traceback=str(einfo) if einfo else None)
    _report(sender.app, sender.request, why)


@worker_process_shutdown.connect
@worker_shutdown.connect
@atexit.register
def _close(**_: Any) -> None:
    if _reporter is not None and _reporter.pid == os.getpid():
        _reporter.close()
