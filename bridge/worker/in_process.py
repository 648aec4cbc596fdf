"""In-process commit: a fleet's own worker reports outcomes to Postgres, and no callback travels through the broker.

For fleets that install this package and can reach the database, and for clients registered with `commit = in-process`:
their messages carry no `link`, which would cost a worker a third of its throughput. Each worker process gathers its
outcomes and settles them at the latest 50 ms later, and when it ends. What only Celery's main process sees (a hard time
limit, a killed child) is not reported; the lease covers it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Celery
from celery.signals import task_failure, task_success

from bridge.app import bridge_of
from bridge.model import Failure
from bridge.settle.read_callbacks import verified
from bridge.settle.settle import settle
from bridge.worker.outbox import outbox

HEADERS = ("bridge_client", "bridge_offset", "bridge_offsets", "bridge_epoch", "bridge_attempt", "bridge_signature")


def connect() -> None:
    """Listen to the ends of tasks in this process; calling it again changes nothing."""
    task_success.connect(_succeeded)
    task_failure.connect(_failed)


def _report(app: Celery, request: Any, failure: Failure | None) -> None:
    """Report the end of a task that came from the bridge without callbacks; of any other task, nothing."""
    if getattr(request, "bridge_signature", None) is None or request.callbacks:
        return
    client, offset, offsets, epoch, attempt, signature = (getattr(request, name, None) for name in HEADERS)
    bridge = bridge_of(app)
    args = (client, offsets or offset, epoch, attempt, signature)
    outcomes = verified(args, secret=bridge.secret, failure=failure)
    if outcomes:
        outbox(bridge, partial(settle, bridge.store)).report(outcomes)


def _succeeded(sender: Any, **_: Any) -> None:
    _report(sender.app, sender.request, None)


def _failed(sender: Any, exception: BaseException, einfo: Any, **_: Any) -> None:
    why = Failure(type=type(exception).__name__, message=str(exception), traceback=str(einfo) if einfo else None)
    _report(sender.app, sender.request, why)
