"""The mark in the broker, one way per broker."""

from __future__ import annotations

from contextlib import suppress

from celery import Celery
from kombu import Producer
from redis import Redis  # not the module: a file here has its name
from redis.exceptions import ResponseError

from bridge.broker.fast_ways import MARKS_ON_REDIS
from bridge.broker.internals.redis import connection_pool, key_prefix
from bridge.broker.marks.keeper import Keeper, MarkRefused, Taken, address
from bridge.broker.marks.rabbitmq import AmqpKeeper, seen_queue
from bridge.broker.marks.redis import RedisKeeper, mark_key, note_command, seen_text
from bridge.broker.transports import need_transport
from bridge.mark import Seen

__all__ = ["Keeper", "MarkRefused", "Taken", "address", "keeper_on", "note_seen"]


def keeper_on(app: Celery, *, queue: str, connect_timeout_seconds: float) -> Keeper | None:
    """Return what keeps the mark on this app's broker; None where no mark can be kept.

    Raises:
        ConfigurationError: the package for this kind of broker is missing.
    """
    need_transport(app)
    driver = app.connection_for_write().transport.driver_name
    kind: type[RedisKeeper] | type[AmqpKeeper] | None = None
    if driver == "redis" and MARKS_ON_REDIS.conforms():
        kind = RedisKeeper
    elif driver == "py-amqp":
        kind = AmqpKeeper
    return None if kind is None else kind(app, queue=queue, connect_timeout_seconds=connect_timeout_seconds)


def note_seen(producer: Producer, queue: str, seen: Seen, *, together: bool) -> tuple[str, ...]:
    """Let the broker note the last event of the log, beside its mark, before messages go out.

    Args:
        producer: That which sends them.
        queue: The bridge's queue.
        seen: The event.
        together: Whether the sender sends a command of Redis along with its messages.

    Returns:
        The command to send along; empty if it is done.
    """
    if producer.connection.transport.driver_type == "redis":
        command = note_command(key_prefix(producer.channel) + mark_key(queue), seen)
        if together:
            return command
        with suppress(ResponseError):
            Redis(connection_pool=connection_pool(producer.channel)).execute_command(*command)  # type: ignore[no-untyped-call]
        return ()
    # Where the queue is missing, the broker drops it: the mark itself says then that something was lost.
    producer.publish(
        seen_text(seen),
        exchange="",
        routing_key=seen_queue(queue),
        delivery_mode=2,
        content_type="application/json",
        content_encoding="utf-8",
    )
    return ()
