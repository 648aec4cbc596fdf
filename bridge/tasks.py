"""The bridge's own Celery tasks: the pump and the pruner that beat starts, and the callbacks of handed-over tasks.

They are shared tasks: importing this module adds them to every app of the process. What they raise on purpose is a
line in the worker's log and not a traceback (`throws`). A tick that finds Postgres away tries again each second, until
the next tick comes, and says so in its result.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import Task, shared_task

from bridge.app import bridge_of
from bridge.broker.own_task import OwnTask
from bridge.broker.periodic import PeriodicTask
from bridge.contract import BEAT, COMMIT, FAIL, PRUNE, PUMP, READY, SETTLE, TRACES_HEADER
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
from bridge.pump.loop import Tick, pump_of
from bridge.pump.stopping import is_stopping
from bridge.retention.regular import prune_regularly
from bridge.settle.read_callbacks import settle_callbacks
from bridge.store.durations import note_durations
from bridge.tracing.context import trace_of_task
from bridge.trouble import Trouble
from bridge.wording import counted, span
from bridge.worker.callbacks import JoinedCallback

PATIENCE: dict[str, Any] = {  # an outcome is never given up: while Postgres is away, it waits
    "autoretry_for": (Unavailable, LogRewound, BrokerTaken),
    "max_retries": None,
    "retry_backoff": 1,
    "retry_backoff_max": 60,
    "acks_late": True,
    "throws": (BridgeError,),
}
TRY_AGAIN_SECONDS, STEP_SECONDS = 1.0, 0.1

logger = logging.getLogger("bridge")
_away = Trouble(logger, what="the pump waits", over="the pump works again")


@shared_task(bind=True, name=PUMP, base=PeriodicTask, throws=(BridgeError,))
def pump(self: Task[Any, Any], why: str = BEAT) -> dict[str, Any]:
    """Hand over everything that can be, then wait for more; the result says what was done.

    Args:
        self: The task.
        why: `ready` from a worker that has just begun; otherwise it comes from beat.
    """
    bridge = bridge_of(self.app)
    began = time.monotonic()
    until = began + bridge.settings.interval_seconds
    while True:
        try:
            done = pump_of(bridge).tick(first=why == READY, request=self.request)
            note_durations(bridge.store, bridge=bridge.settings.queue, at_once=True)  # the next tick may run elsewhere
        except (StoreUnavailable, BrokerUnavailable, MarkAhead, BrokerTaken) as error:
            _away.went(error)
            if not _rested(until):
                return {"waits": str(error)}
        except LogRewound as error:
            _away.went(error)
            raise
        else:
            _away.back()
            _say(done, time.monotonic() - began)
            return done._asdict()


def _say(done: Tick, seconds: float) -> None:
    """Leave a line about a tick that has handed something over, and none about any other."""
    if done.sent:
        extra = {"happened": "tick", "number": done.sent, "looked": done.looked, "seconds": round(seconds, 3)}
        text = "the pump has handed over %s in the last %s"
        logger.info(text, counted(done.sent, "event"), span(seconds), extra=extra)


def _rested(until: float) -> bool:
    """Wait for a moment before the next try; tell whether there is to be one: else the next tick makes it."""
    moment = time.monotonic() + TRY_AGAIN_SECONDS
    while time.monotonic() < moment < until and not is_stopping():
        time.sleep(STEP_SECONDS)
    return moment < until and not is_stopping()


@shared_task(bind=True, name=PRUNE, base=PeriodicTask, throws=(BridgeError,))
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
    trace = getattr(task.request, TRACES_HEADER, None) if name == SETTLE else trace_of_task(task.request)
    settle_callbacks(bridge, [(name, args, reason)], trace=trace)
    note_durations(bridge.store, bridge=bridge.settings.queue)
