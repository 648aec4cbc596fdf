"""Report in-process: a fleet's own worker settles outcomes in Postgres, and no callback travels through the broker.

It is for fleets that install this package and can reach the database, and for clients with `report_by = in-process`.
Their messages carry no `link`, which would cost a worker a third of its throughput. Each worker process gathers its
outcomes and settles them at the latest 50 ms later, and when it ends. Only Celery's main process sees a hard time limit
or a killed child: these are not reported, and the lease has the event handed over again.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Celery
from celery.signals import task_failure, task_success

from bridge.app import bridge_of
from bridge.contract import callback_in_headers
from bridge.model import Failure
from bridge.settle.read_callbacks import verified
from bridge.settle.settle import settle
from bridge.worker.outbox import outbox


def connect() -> None:
    """Listen to the ends of tasks in this process; calling it again changes nothing."""
    task_success.connect(_succeeded)
    task_failure.connect(_failed)


def _report(app: Celery, request: Any, failure: Failure | None) -> None:
    """Report the end of a task that came from the bridge without callbacks; of any other task, nothing."""
    args = callback_in_headers(request)
    if args is None or request.callbacks:
        return
    bridge = bridge_of(app)
    outcomes = verified(args, secret=bridge.secret, failure=failure)
    if outcomes:
        outbox(bridge, partial(settle, bridge.store)).report(outcomes)


def _succeeded(sender: Any, **_: Any) -> None:
    _report(sender.app, sender.request, None)


def _failed(sender: Any, exception: BaseException, einfo: Any, **_: Any) -> None:
    why = Failure(type=type(exception).__name__, message=str(exception), traceback=str(einfo) if einfo else None)
    _report(sender.app, sender.request, why)
