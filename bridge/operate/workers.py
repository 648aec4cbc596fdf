"""Ask the broker and its workers who consumes a queue, and how long it is. This changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from celery import Celery
from kombu import Connection
from kombu.exceptions import KombuError

from bridge.contract import ticks_queue, unreadable_queue

INTERVAL_SECONDS = 0.2  # between two tries to connect


class WorkersSeen(NamedTuple):
    """Who is there.

    Attributes:
        trouble: Why the broker could not be asked; the rest is empty then.
        answered: How many workers answered at all; those without remote control never do.
        consumers: Workers that consume the queue.
        bridge_workers: Workers that consume the bridge's own queue.
        messages: Messages that wait in the queue; None where the transport does not say.
        unreadable: Messages that were set aside; None where the transport does not say.
    """

    trouble: str | None = None
    answered: int = 0
    consumers: tuple[str, ...] = ()
    bridge_workers: tuple[str, ...] = ()
    messages: int | None = None
    unreadable: int | None = None


def ask_workers(app: Celery, *, queue: str, bridge_queue: str, timeout_seconds: float) -> WorkersSeen:
    """Ask the broker and the workers.

    Args:
        app: The Celery app whose broker it is.
        queue: The queue that a client's events go to.
        bridge_queue: The queue of the bridge's own tasks.
        timeout_seconds: How long to wait for the broker, and then for the workers' answers.
    """
    options = {
        "socket_timeout": timeout_seconds * 2,
        "socket_connect_timeout": timeout_seconds,
        **app.conf.broker_transport_options,
    }
    connection: Connection = app.connection_for_write(transport_options=options, connect_timeout=timeout_seconds)
    try:
        with connection:
            connection.ensure_connection(
                max_retries=1, interval_start=INTERVAL_SECONDS, timeout=timeout_seconds, reraise_as_library_errors=True
            )
            # Not by `inspect`, which keeps one answer of workers that have the same name.
            replies = app.control.broadcast("active_queues", reply=True, timeout=timeout_seconds, connection=connection)
            answers = [answer for reply in replies or () for answer in reply.items()]
            messages = _length(connection, queue)
            unreadable = _length(connection, unreadable_queue(bridge_queue))
    except (KombuError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
        return WorkersSeen(trouble=f"the broker {connection.as_uri()} is not available: {error}")
    bridges = _consumers(answers, bridge_queue, ticks_queue(bridge_queue))  # a collector leaves only the second one
    return WorkersSeen(None, len(answers), _consumers(answers, queue), bridges, messages, unreadable)


def _consumers(answers: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], *queues: str) -> tuple[str, ...]:
    return tuple(sorted(worker for worker, found in answers if any(queue["name"] in queues for queue in found)))


def _length(connection: Connection, queue: str) -> int | None:
    """Count the messages that wait; a queue that is not there has none."""
    with connection.channel() as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).message_count)
        except connection.channel_errors:
            return 0
        except (AttributeError, NotImplementedError):
            return None
