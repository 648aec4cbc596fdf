"""Borrow from Celery's apps and workers."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from celery import Celery
from celery.app import utils
from kombu.exceptions import SerializationError, SerializerNotInstalled

# What kombu and Celery raise where a message is no message of theirs. What the broker's drivers raise is not among it.
STUMBLES = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
    SerializationError,
    SerializerNotInstalled,
)


def real_app(app: Celery) -> Celery:
    """Return the app itself where the caller has Celery's `current_app`, which is a proxy.

    Without it, the bridge of `current_app` and the bridge of its app would be two, with two connections each.
    """
    return app._get_current_object() if hasattr(app, "_get_current_object") else app


def mask(setting: str) -> None:
    """Let `celery inspect conf`, `celery report` and Flower show no value of this setting.

    Celery masks what looks like a secret by its name.
    """
    if not utils.HIDDEN_SETTINGS.search(setting):
        utils.HIDDEN_SETTINGS = re.compile(f"{utils.HIDDEN_SETTINGS.pattern}|{setting}", re.IGNORECASE)


def event_loop(consumer: Any) -> Any:
    """Return the event loop of a worker; None where its pool or its broker works without one."""
    return getattr(consumer, "hub", None)


def exchange_queues(consumer: Any, *, leave: str, take: Any) -> None:
    """Let a worker that has not begun to consume leave one queue, named, and consume another one, a kombu `Queue`.

    Without it, the worker would compete with the collector for callbacks and run them one by one.
    """
    consumer.task_consumer.cancel_by_queue(leave)
    consumer.task_consumer.add_queue(take)


def tag_queues(consumer: Any) -> dict[str, str]:
    """Return the queue of each consumer tag of a kombu consumer."""
    return {tag: queue for queue, tag in consumer._active_tags.items()}


def shielded(read: Callable[..., Any], say: Callable[[BaseException], object]) -> Callable[..., Any]:
    """Return a function of kombu's or Celery's that reads a message, such that one which it can't read is only said."""

    @wraps(read)
    def tolerant(*args: Any) -> Any:
        try:
            return read(*args)
        except STUMBLES as error:
            say(error)
            return None

    return tolerant


def shield_gossip(consumer: Any, say: Callable[[BaseException], object]) -> None:
    """Let a worker that has not begun to consume outlive whatever comes as an event of another worker.

    Celery reads these in the worker's event loop, where an error of any kind ends the worker.
    """
    gossip = getattr(consumer, "gossip", None)
    if gossip is None or not gossip.enabled:
        return
    listening = gossip.get_consumers

    def get_consumers(channel: Any) -> Any:
        found = listening(channel)
        for it in found:
            it.on_message = shielded(it.on_message, say)
            it.on_decode_error = it.on_decode_error or (lambda _, error: say(error))
        return found

    gossip.get_consumers = get_consumers
