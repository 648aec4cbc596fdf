"""The bridge's own Celery tasks: the pump and the pruner that beat starts, and the callbacks of handed-over tasks.

They are shared tasks: importing this module adds them to every app of the process. What they raise on purpose is a
line in the worker's log and not a traceback (`throws`). A tick that finds Postgres away has nothing to do, and says so
in its result: beat sends one each second.
"""

from __future__ import annotations

import logging
from typing import Any

from celery import Task, shared_task

from bridge.app import bridge_of
from bridge.broker.own_task import OwnTask
from bridge.contract import COMMIT, FAIL, PRUNE, PUMP, SETTLE
from bridge.errors import (
    BridgeError,
    BrokerTaken,
    BrokerUnavailable,
    LogRewound,
    MarkAhead,
    StoreUnavailable,
    Unavailable,
)
from bridge.marks.witness import witness_of
from bridge.pump.loop import pump_of
from bridge.retention.regular import prune_regularly
from bridge.settle.read_callbacks import settle_callbacks
from bridge.store.durations import note_durations
from bridge.trouble import Trouble
from bridge.worker.callbacks import JoinedCallback

PATIENCE: dict[str, Any] = {  # an outcome is never given up: while Postgres is away, it waits
    "autoretry_for": (Unavailable, LogRewound, BrokerTaken),
    "max_retries": None,
    "retry_backoff": 1,
    "retry_backoff_max": 60,
    "acks_late": True,
    "throws": (BridgeError,),
}
logger = logging.getLogger("bridge")
_away = Trouble(logger, what="the pump waits", over="the pump works again")


@shared_task(bind=True, name=PUMP, base=OwnTask, throws=(BridgeError,))
def pump(self: Task[Any, Any]) -> dict[str, Any]:
    """Hand over everything that can be, then wait for more; the result says what was done."""
    bridge = bridge_of(self.app)
    try:
        done = pump_of(bridge).tick(request=self.request)
        note_durations(bridge.store, bridge=bridge.settings.queue, at_once=True)  # the next tick may run elsewhere
    except (StoreUnavailable, BrokerUnavailable, MarkAhead, BrokerTaken) as error:
        _away.went(error)
        return {"waits": str(error)}
    _away.back()
    return done._asdict()


@shared_task(bind=True, name=PRUNE, base=OwnTask, throws=(BridgeError,))
def prune(self: Task[Any, Any]) -> dict[str, Any]:
    """Remove what `bridge_keep` lets go, for a moment, and warn of a log that is large; the result says what was done.

    The moment is short, because it takes a process of the bridge worker's pool, which the pump may need.
    """
    bridge = bridge_of(self.app)
    try:
        settings = bridge.settings
        return prune_regularly(bridge.store, keep=settings.keep, limit=settings.log_limit, archive=settings.archive)
    except StoreUnavailable as error:  # the next run goes on
        return {"waits": str(error)}


@shared_task(bind=True, name=COMMIT, base=JoinedCallback, **PATIENCE)
def commit(self: Task[Any, Any], *args: Any) -> None:
    """Settle one success. A worker with the collector does this for many at once."""
    _settle(self, COMMIT, args)


@shared_task(bind=True, name=FAIL, base=JoinedCallback, **PATIENCE)
def fail(self: Task[Any, Any], *args: Any, reason: Any = None, **_: Any) -> None:
    """Settle one failure."""
    _settle(self, FAIL, args, reason)


@shared_task(bind=True, name=SETTLE, base=OwnTask, **PATIENCE)
def settle(self: Task[Any, Any], *args: Any) -> None:
    """Settle many successes and failures, which come as pairs of task name and arguments."""
    _settle(self, SETTLE, args)


def _settle(task: Task[Any, Any], name: str, args: Any, reason: Any = None) -> None:
    """Settle one callback, if Postgres and the broker still remember each other."""
    bridge = bridge_of(task.app)
    witness_of(bridge).check()
    settle_callbacks(bridge, [(name, args, reason)])
    note_durations(bridge.store, bridge=bridge.settings.queue)
