"""Report in-process: a fleet's own worker settles outcomes in Postgres, and no callback travels through the broker.

It is for fleets that install this package and can reach the database, and for clients with `report_by = in-process`.
Their messages carry no `link`, which would cost a worker a third of its throughput. Each worker process gathers what it
has to report, and settles it at the latest 50 ms later, and when it ends. Nothing touches Postgres before that, not
even to read the secret: while Postgres is away, reports wait in the outbox. Only Celery's main process sees a hard time
limit or a killed child: these are not reported, and the lease has the event handed over again. A task that rejects its
message for good, as Celery does for one whose retry can't be sent, has failed.

An outcome is told before Celery stores the task's result, as a callback is published before that: a result backend that
hangs, refuses or can't write a result neither delays an outcome nor makes a failure of a success.

A task that replaces itself ends without a success or a failure: what takes its place gets the callbacks that its
message did not carry, and reports by these.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial, wraps
from traceback import format_exception
from typing import Any, NamedTuple

from celery import Celery, Task, current_task
from celery.app.task import Context
from celery.backends.base import Backend
from celery.signals import task_failure, task_internal_error, task_postrun, task_success

from bridge.app import Bridge, bridge_of
from bridge.broker.internals.leaving import left_by_itself
from bridge.broker.internals.rejecting import watch_rejections
from bridge.contract import COMMIT, FAIL, CallbackArgs, args_in_headers, celery_link
from bridge.marks.witness import witness_of
from bridge.model import Failure
from bridge.settle.apply import apply, name_of
from bridge.settle.read_callbacks import parts_of, verified
from bridge.store.durations import note_durations
from bridge.tracing.context import trace_of_task
from bridge.wording import said
from bridge.worker.outbox import outbox
from bridge.worker.telling import failure_reported

logger = logging.getLogger("bridge.outbox")


_carrying: list[Callable[[Any, Any], Any]] = []  # what `Task.replace` has been made here
_telling: list[Callable[..., Any]] = []  # what `mark_as_done` and `mark_as_failure` of a result backend have been made
_told = threading.local()  # `id`: of the task whose end this thread has told last
TRUST_SECONDS = 10.0  # a fleet has many processes: it is enough that a bridge worker has compared so lately


class Report(NamedTuple):
    """The end of a task as it was seen, not verified yet; `failure` is None for a success."""

    args: CallbackArgs
    failure: Failure | None
    trace: str | None = None


def connect() -> None:
    """Listen to the ends of tasks in this process; calling it again changes nothing."""
    task_success.connect(_succeeded)
    task_failure.connect(_failed)
    task_internal_error.connect(_broke)
    task_postrun.connect(_left)
    watch_rejections(_rejected)
    if Task.replace not in _carrying:
        Task.replace = _carrying_callbacks(Task.replace)
        _carrying.append(Task.replace)
    if Backend.mark_as_done not in _telling:
        Backend.mark_as_done, Backend.mark_as_failure = _telling[:] = (
            _telling_success(Backend.mark_as_done),
            _telling_failure(Backend.mark_as_failure),
        )


def _carrying_callbacks(replace: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Give a task from the bridge callbacks as it is replaced: `replace` hands them on to what takes its place."""

    @wraps(replace)
    def with_callbacks(self: Any, sig: Any) -> Any:
        if (args := args_in_headers(self.request)) is not None:
            queue = bridge_of(self.app).settings.queue
            self.request.callbacks = [celery_link(COMMIT, queue, args)]
            self.request.errbacks = [celery_link(FAIL, queue, args)]
        return replace(self, sig)

    return with_callbacks


def _telling_success(mark_as_done: Callable[..., Any]) -> Callable[..., Any]:
    """Have a success told before its result is stored."""

    @wraps(mark_as_done)
    def telling(self: Any, task_id: str, result: Any, request: Any = None, *args: Any, **kwargs: Any) -> Any:
        if args_in_headers(request) is not None:
            _tell_early(self.app, request, None)
        return mark_as_done(self, task_id, result, request, *args, **kwargs)

    return telling


def _telling_failure(mark_as_failure: Callable[..., Any]) -> Callable[..., Any]:
    """Have a failure told before it is stored, by the process that ran the task: the main process has no outbox."""

    @wraps(mark_as_failure)
    def telling(
        self: Any, task_id: str, exc: Any, traceback: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        runs_here = current_task and current_task.request.id == task_id
        if runs_here and not _is_told(task_id) and args_in_headers(request) is not None:
            _tell_early(self.app, request, failure_reported(exc, traceback, host=getattr(request, "hostname", None)))
        return mark_as_failure(self, task_id, exc, traceback, request, *args, **kwargs)

    return telling


def _tell_early(app: Celery, request: Any, failure: Failure | None) -> None:
    """Report the end of a task; if that is not possible, the signal comes, where an error ends in the log."""
    with suppress(Exception):
        _report(app, request, failure)
        _told.id = request.id


def _is_told(task_id: object) -> bool:
    """Tell whether this thread has told the end of the task before: a result that can't be stored is no failure."""
    return task_id is not None and getattr(_told, "id", None) == task_id


def _report(app: Celery, request: Any, failure: Failure | None) -> None:
    """Report the end of a task that came from the bridge without callbacks; of any other task, nothing."""
    args = args_in_headers(request)
    if args is None:
        return
    bridge = bridge_of(app)
    bridge.settings.need_database_url()  # waiting would not help: without a URL this raises into the worker's log
    outbox(bridge, partial(settle_reports, bridge)).report([Report(args, failure, trace_of_task(request))])


def settle_reports(bridge: Bridge, reports: Sequence[Report]) -> list[Report]:
    """Settle those of these reports whose signature is genuine.

    One that Postgres refuses is a line in the log, and left to the lease of its event.

    Returns:
        Those that must wait, because another transaction holds what they need; settle them again later.

    Raises:
        StoreUnavailable: some may be settled; settle the same reports again, which does no harm.
    """
    witness_of(bridge).check(trust_seconds=TRUST_SECONDS)
    secret = bridge.secret
    found = [
        (it, [replace(one, failure=it.failure, trace=it.trace) for one in verified(it.args, secret=secret)])
        for it in reports
    ]
    held = set[tuple[str, int]]()
    for outcomes in parts_of(outcomes for _, outcomes in found):
        applied = apply(bridge.store, outcomes)
        held |= {(it.outcome.client, it.outcome.offset) for it in applied.held}
        for it in applied.refused:
            logger.error("%s can't be settled, its lease will end: %s", name_of(it.outcome), said(it.error))
    note_durations(bridge.store, bridge=bridge.settings.queue)
    return [report for report, outcomes in found if any((one.client, one.offset) in held for one in outcomes)]


def _succeeded(sender: Any, **_: Any) -> None:
    if not _is_told(sender.request.id):
        _report(sender.app, sender.request, None)


def _failed(sender: Any, exception: BaseException, einfo: Any, **_: Any) -> None:
    if not _is_told(sender.request.id) and args_in_headers(sender.request) is not None:
        told = failure_reported(exception, einfo or None, host=getattr(sender.request, "hostname", None))
        _report(sender.app, sender.request, told)


def _rejected(task: Any, request: Any, exception: BaseException) -> None:
    if args_in_headers(request) is None:
        return
    try:
        _report(task.app, request, failure_reported(exception, None, host=getattr(request, "hostname", None)))
    except Exception as error:  # Celery keeps no error of ours from the task here, as it does for a signal
        logger.error("the rejection of task %s can't be reported, its lease will end: %s", request.id, said(error))


def _left(sender: Any, state: Any = None, **_: Any) -> None:
    """Report what leaves a task and is no `Exception`, such as a `CancelledError`: no other signal says so."""
    error = None if state else sys.exc_info()[1]
    if error is not None and left_by_itself(error):
        shown = "".join(format_exception(error))
        _tell_early(sender.app, sender.request, failure_reported(error, shown, host=sender.request.hostname))


def _broke(sender: Any, request: Any, exception: BaseException, einfo: Any = None, **_: Any) -> None:
    """Report what went wrong around a task, such as in an `on_failure` of its own, which keeps Celery from saying more.

    Where the task has succeeded before, that counts.
    """
    context = Context(request)  # the task's own is gone by now
    if not _is_told(context.id) and args_in_headers(context) is not None:
        told = failure_reported(exception, einfo or None, host=getattr(context, "hostname", None))
        _report(sender.app, context, told)
