"""The bridge's own queue, as the app declares it: RabbitMQ refuses a second declaration with other arguments."""

from __future__ import annotations

from celery import Celery
from kombu import Queue


def own_queue(app: Celery, name: str) -> Queue:
    """Return the queue of this name as a worker of the app declares it; a plain durable one if the app knows none."""
    try:
        return app.amqp.queues[name]
    except KeyError:  # task_create_missing_queues is off
        return Queue(name, exchange="", routing_key=name)
