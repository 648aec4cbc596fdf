"""Read callbacks, and settle what they report: outcomes whose signature is genuine, and why a task failed.

A callback is a pair: the task's name, `bridge.commit` or `bridge.fail`, and its arguments, which are client, offset (a
list of offsets for a batch), epoch, attempt and signature. `bridge.settle` carries many such pairs in one message. A
callback that the bridge did not sign changes nothing, and leaves a warning in the log.

Everything here may be forged. So types are checked before anything else is done with a value, and the log shows values
by `reprlib`, which looks only a few levels deep: `repr` of a list that is nested deeply enough raises RecursionError,
and the collector would put the same messages back and read them again for ever.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from celery import Celery
from celery.backends.base import DisabledBackend

from bridge.app import Bridge
from bridge.contract import COMMIT, FAIL, SETTLE, is_genuine, joined
from bridge.model import Failure, Outcome, task_id
from bridge.settle.settle import Settled, settle
from bridge.wording import counted

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


def verified(args: object, *, secret: str) -> list[Outcome]:
    """Return a success for each event of an attempt; none, and a warning in the log, if its signature is wrong."""
    match args:
        case [str(client), int() | [int(), *_] as offset, int(epoch), int(attempt), signature]:
            offsets = tuple(offset) if isinstance(offset, list) else (offset,)
        case _:
            offsets = ()
    if not offsets or not all(isinstance(one, int) for one in offsets):
        logger.warning("a callback with malformed arguments is ignored: %s", reprlib.repr(args))
        return []
    if not is_genuine(signature, secret, (client, joined(offsets), epoch, attempt)):
        about = (reprlib.repr(client), reprlib.repr(offset))
        logger.warning("a callback with a wrong signature is ignored: client %s, event %s", *about)
        return []
    batch = offsets if len(offsets) > 1 else ()
    return [
        Outcome(client=client, offset=offset, epoch=epoch, attempt=attempt, batch_offsets=batch) for offset in offsets
    ]


def _pairs(args: Any) -> list[Callback]:
    """Read the pairs of a `bridge.settle`; those that are malformed leave a warning, and cost the others nothing."""
    match args:
        case [[_, *_] as given]:
            wrong = [pair for pair in given if not _is_pair(pair)]
            pairs = [(pair[0], pair[1]) for pair in given if _is_pair(pair)]
        case _:
            wrong, pairs = [args], []
    if wrong:
        number = counted(
            len(wrong),
            "callback with malformed arguments is ignored",
            "callbacks with malformed arguments are ignored",
        )
        logger.warning("%s: %s", number, reprlib.repr(wrong[0]))
    return pairs


def _is_pair(pair: object) -> bool:
    """Tell whether this is a task's name, commit or fail, and anything else; `verified` looks at that."""
    match pair:
        case [str(task), _]:
            return task in (COMMIT, FAIL)
    return False


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
