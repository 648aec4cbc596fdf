"""The only broker reader: takes callbacks off the bridge's queue many at a time, on Redis and on AMQP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery

from bridge.commits.callback import Callback, Callbacks
from bridge.commits.from_amqp import AmqpCallbacks
from bridge.commits.from_redis import RedisCallbacks

__all__ = ["AmqpCallbacks", "Callback", "Callbacks", "RedisCallbacks", "reader"]

Open = Callable[..., Callbacks[Any]]

_READERS: dict[str, Open] = {"py-amqp": AmqpCallbacks, "redis": RedisCallbacks}


def reader(app: Celery) -> Open | None:
    """What reads callbacks in batches on this app's broker; None if they can only run as ordinary tasks.

    It is called with the app, `queue`, the bridge's own, and `others`, where everything goes that is no callback.
    """
    return _READERS.get(app.connection_for_read().transport.driver_name)
