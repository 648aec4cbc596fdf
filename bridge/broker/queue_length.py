"""Ask a broker how many messages wait in a queue. What a worker has taken, done or not, does not count."""

from __future__ import annotations

from typing import Any

from kombu import Connection

from bridge.broker.internals.connections import answered_within, is_virtual

NOT_FOUND = "404"  # kombu's virtual transports say it as a text
FIRST_IN_FIRST_OUT = ("amqp", "redis", "memory")  # transports, by `driver_type`, whose queues keep the order


def queue_length(connection: Connection, queue: str, *, seconds: float) -> int | None:
    """Count the messages that wait, of all priorities; a queue that is not there has none.

    Args:
        connection: To the broker.
        queue: Its name.
        seconds: Longest wait for each answer.

    Returns:
        None where the broker does not say.

    Raises:
        The errors of kombu and of the broker's driver.
    """
    if is_virtual(connection.transport):
        return _counted(connection, connection.default_channel, queue)
    # On a channel of its own: RabbitMQ closes it where there is no such queue.
    with answered_within(connection, seconds), connection.channel() as channel:
        return _counted(connection, channel, queue)


def keeps_order(connection: Connection) -> bool:
    """Tell whether this transport's queues are first in, first out, and are counted exactly."""
    return connection.transport.driver_type in FIRST_IN_FIRST_OUT


def _counted(connection: Connection, channel: Any, queue: str) -> int | None:
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors as error:
        return 0 if str(getattr(error, "reply_code", "")) == NOT_FOUND else None  # a queue that we may not look at
    except (AttributeError, NotImplementedError):
        return None
