"""The mark in the broker, one way per broker."""

from __future__ import annotations

from celery import Celery

from bridge.broker.fast_ways import MARKS_ON_REDIS
from bridge.broker.marks.keeper import Keeper, MarkRefused, Taken, address

__all__ = ["Keeper", "MarkRefused", "Taken", "address", "keeper_on"]


def keeper_on(app: Celery, *, queue: str, connect_timeout_seconds: float) -> Keeper | None:
    """Return what keeps the mark on this app's broker; None where no mark can be kept."""
    from bridge.broker.marks.rabbitmq import AmqpKeeper
    from bridge.broker.marks.redis import RedisKeeper

    driver = app.connection_for_write().transport.driver_name
    kind: type[RedisKeeper] | type[AmqpKeeper] | None = None
    if driver == "redis" and MARKS_ON_REDIS.conforms():
        kind = RedisKeeper
    elif driver == "py-amqp":
        kind = AmqpKeeper
    return None if kind is None else kind(app, queue=queue, connect_timeout_seconds=connect_timeout_seconds)
