"""Tell why a task failed, in the process in which it did: the reason travels with the outcome."""

from __future__ import annotations

import sys
import time

from bridge.broker.internals.failing import failing_task
from bridge.model import Failure
from bridge.settle.reasons import CALLBACK, WORKER, failure_of


def why_it_failed() -> Failure:
    """Return why the task failed whose errbacks are called right now; an empty failure where that is not known."""
    found = failing_task()
    raised = sys.exc_info()[1]  # the exception itself: Celery has another one where it can't be pickled
    error = raised if raised is not None and found.began is not None else found.error
    if error is None:
        return Failure()
    seconds = _seconds_since(found.began)
    return failure_of(error, found.traceback, host=found.host, runtime_seconds=seconds, told_by=CALLBACK)


def failure_reported(error: BaseException, traceback: object, *, host: object) -> Failure:
    """Return why the task failed whose signal is sent right now."""
    seconds = _seconds_since(failing_task().began)
    return failure_of(error, traceback, host=host, runtime_seconds=seconds, told_by=WORKER)


def _seconds_since(began: object) -> float | None:
    return time.monotonic() - began if isinstance(began, float) else None
