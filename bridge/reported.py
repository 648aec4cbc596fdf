"""Reading what callbacks report: outcomes whose signature is genuine, and why a task failed.

A callback is a pair: `bridge.commit` or `bridge.fail`, and its arguments, which are client, offset (of a batch: offsets),
epoch, attempt and signature. `bridge.settle` is many such pairs in one message. What is none of ours is a warning in the
log and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from celery import Celery
from celery.backends.base import DisabledBackend

from bridge.model import Failure, Outcome, task_id
from bridge.sender import COMMIT, FAIL, SETTLE
from bridge.signature import genuine

logger = logging.getLogger("bridge")

Callback = tuple[str, Sequence[Any]]


def one_by_one(callbacks: Iterable[Callback]) -> Iterator[Callback]:
    """Each callback, also those that came many in a message."""
    for task, args in callbacks:
        if task == SETTLE:
            yield from _pairs(args)
        else:
            yield task, args


def outcomes(app: Celery, callback: Callback, *, secret: str) -> list[Outcome]:
    """What a single callback reports, one for each event of a batch; of a failure also why, where the app can know."""
    task, args = callback
    found = signed(args, secret=secret)
    if not found or task != FAIL:
        return found
    failure = _failure(app, found[0])
    return [replace(outcome, failure=failure) for outcome in found]


def signed(args: Sequence[Any], *, secret: str, failure: Failure | None = None) -> list[Outcome]:
    """The outcomes of an attempt whose signature is genuine."""
    try:
        client, offset, epoch, attempt, signature = args
        offsets = tuple(int(one) for one in offset) if isinstance(offset, list) else (int(offset),)
        client, epoch, attempt = str(client), int(epoch), int(attempt)
    except (TypeError, ValueError, OverflowError):
        logger.warning("a callback with malformed arguments is ignored: %.200r", args)
        return []
    if not offsets or not genuine(signature, secret, (client, ",".join(map(str, offsets)), epoch, attempt)):
        logger.warning("a callback with a wrong signature is ignored: client %.100r, event %.100r", client, offset)
        return []
    batch = offsets if len(offsets) > 1 else ()
    return [
        Outcome(client=client, offset=offset, epoch=epoch, attempt=attempt, failure=failure, batch=batch)
        for offset in offsets
    ]


def _pairs(args: Sequence[Any]) -> list[Callback]:
    try:
        pairs = [(task, given) for task, given in args[0]]
    except (TypeError, ValueError, LookupError):
        pairs = []
    if not pairs or not all(task in (COMMIT, FAIL) for task, _ in pairs):
        logger.warning("callbacks with malformed arguments are ignored: %.200r", args)
        return []
    return pairs


def _failure(app: Celery, outcome: Outcome) -> Failure:
    """Why a task failed, where this app's result backend is the fleet's and knows it."""
    id = task_id(outcome.client, outcome.offset, outcome.epoch, outcome.attempt)
    if isinstance(app.backend, DisabledBackend):
        return Failure()
    try:
        meta = app.backend.get_task_meta(id)
    except Exception as error:  # whatever a backend raises: the failure counts without its reason too
        logger.warning("the result backend does not say why %s failed: %s", id, error)
        return Failure()
    result = meta.get("result")
    if not isinstance(result, BaseException):
        return Failure(traceback=meta.get("traceback"))
    return Failure(type=type(result).__name__, message=str(result), traceback=meta.get("traceback"))
