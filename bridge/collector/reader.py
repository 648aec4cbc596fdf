"""What a collector reads callbacks with on this app's broker: Redis and AMQP have a reader, other transports have none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery

from bridge.collector.amqp import AmqpReader
from bridge.collector.callback import Reader
from bridge.collector.redis import RedisReader

Open = Callable[..., Reader[Any]]

_READERS: dict[str, Open] = {"py-amqp": AmqpReader, "redis": RedisReader}


def reader(app: Celery) -> Open | None:
    """Return what opens a reader on this app's broker; None if callbacks can only run as ordinary tasks there.

    Call it with the app, `queue`, which is the bridge's own, and `others`, where everything goes that is no callback.
    """
    return _READERS.get(app.connection_for_read().transport.driver_name)
