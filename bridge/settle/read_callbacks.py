"""Read callbacks, and settle what they report: outcomes whose signature is genuine, and why a task failed.

A callback is a pair: the task's name, `bridge.commit` or `bridge.fail`, and its arguments, which are client, offset (a
list of offsets for a batch), epoch, attempt and signature. `bridge.settle` carries many such pairs in one message. A
callback that the bridge did not sign changes nothing, and leaves a warning in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from celery import Celery
from celery.backends.base import DisabledBackend

from bridge.app import Bridge
from bridge.contract import COMMIT, FAIL, SETTLE, CallbackArgs, is_genuine
from bridge.model import Failure, Outcome, task_id
from bridge.settle.settle import Settled, settle

logger = logging.getLogger("bridge")

OUTCOMES_AT_ONCE = 10_000  # in one transaction: it holds the locks of its clients meanwhile

Callback = tuple[str, Sequence[Any]]


def settle_callbacks(bridge: Bridge, callbacks: Iterable[Callback]) -> Settled:
    """Settle what callbacks report, more than 10,000 outcomes in several transactions.

    Raises:
        StoreUnavailable: some may be settled; settle the same callbacks again, which does no harm.
    """
    total, waiting = Settled(), list[Outcome]()
    for callback in one_by_one(callbacks):
        waiting += outcomes_of(bridge.app, callback, secret=bridge.secret)  # outcomes of one callback stay together
        if len(waiting) >= OUTCOMES_AT_ONCE:
            total, waiting = total + settle(bridge.store, waiting), []
    return total + settle(bridge.store, waiting)


def one_by_one(callbacks: Iterable[Callback]) -> Iterator[Callback]:
    """Yield each callback by itself, also of those that share a message."""
    for task, args in callbacks:
        if task == SETTLE:
            yield from _pairs(args)
        else:
            yield task, args


def outcomes_of(app: Celery, callback: Callback, *, secret: str) -> list[Outcome]:
    """Return what one callback reports: an outcome for each event, with the reason of a failure if that is known."""
    task, args = callback
    found = verified(args, secret=secret)
    if not found or task != FAIL:
        return found
    failure = _failure(app, found[0])
    return [replace(outcome, failure=failure) for outcome in found]


def verified(args: Sequence[Any], *, secret: str, failure: Failure | None = None) -> list[Outcome]:
    """Return the outcomes of an attempt if its signature is genuine; none, and a warning in the log, if it is not."""
    try:
        client, offset, epoch, attempt, signature = CallbackArgs(*args)
        offsets = tuple(int(one) for one in offset) if isinstance(offset, list) else (int(offset),)
        client, epoch, attempt = str(client), int(epoch), int(attempt)
    except (TypeError, ValueError, OverflowError):
        logger.warning("a callback with malformed arguments is ignored: %.200r", args)
        return []
    if not offsets or not is_genuine(signature, secret, (client, ",".join(map(str, offsets)), epoch, attempt)):
        logger.warning("a callback with a wrong signature is ignored: client %.100r, event %.100r", client, offset)
        return []
    batch = offsets if len(offsets) > 1 else ()
    return [
        Outcome(client=client, offset=offset, epoch=epoch, attempt=attempt, failure=failure, batch_offsets=batch)
        for offset in offsets
    ]


def _pairs(args: Sequence[Any]) -> list[Callback]:
    """Read the callbacks of a `bridge.settle`; none, and a warning in the log, if they are malformed."""
    try:
        pairs = [(task, given) for task, given in args[0]]
    except (TypeError, ValueError, LookupError):
        pairs = []
    if not pairs or not all(task in (COMMIT, FAIL) for task, _ in pairs):
        logger.warning("callbacks with malformed arguments are ignored: %.200r", args)
        return []
    return pairs


def _failure(app: Celery, outcome: Outcome) -> Failure:
    """Ask the app's result backend why a task failed; the answer is empty unless the fleet uses the same backend."""
    id = task_id(outcome.client, outcome.offset, outcome.epoch, outcome.attempt)
    if isinstance(app.backend, DisabledBackend):
        return Failure()
    try:
        meta = app.backend.get_task_meta(id)
    except Exception as error:  # a backend may raise anything: the failure counts without its reason too
        logger.warning("the result backend does not say why %s failed: %s", id, error)
        return Failure()
    result = meta.get("result")
    if not isinstance(result, BaseException):
        return Failure(traceback=meta.get("traceback"))
    return Failure(type=type(result).__name__, message=str(result), traceback=meta.get("traceback"))
