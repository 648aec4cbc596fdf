"""The bridge's own queue, as the app declares it: RabbitMQ refuses a second declaration with other arguments.

Somebody may have made the queue in another way, while the bridge runs too. It serves as it is.
"""

from __future__ import annotations

from typing import Any

from amqp.exceptions import AccessRefused, NotFound, PreconditionFailed
from celery import Celery
from kombu import Queue


def own_queue(app: Celery, name: str) -> Queue:
    """Return the queue of this name as a worker of the app declares it; a plain durable one if the app knows none."""
    try:
        return app.amqp.queues[name]
    except KeyError:  # task_create_missing_queues is off
        return Queue(name, exchange="", routing_key=name)


def declare_as_it_is(connection: Any, queue: Queue, *, bound: bool = False) -> None:
    """Declare a queue on RabbitMQ; where one of its name is there in another way, leave it so.

    Args:
        connection: Has been opened.
        queue: As it is to be.
        bound: Whether its exchange and its bindings are declared, too.

    Raises:
        The errors of the broker's driver: there is no such queue now, and it can't be made.
    """
    try:
        with connection.channel() as channel:  # of its own: an error closes it
            mine = queue(channel)
            mine.declare() if bound else mine.queue_declare()
    except (PreconditionFailed, AccessRefused) as error:  # or this user may make no queues
        try:
            with connection.channel() as channel:
                channel.queue_declare(queue.name, passive=True)
        except NotFound:
            raise error from None
