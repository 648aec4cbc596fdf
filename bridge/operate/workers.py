"""Ask the broker and its workers who consumes a queue, and how long it is. This changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from celery import Celery
from kombu import Connection

from bridge.broker.queue_length import keeps_order, queue_length
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
        keeps_order: Whether the transport's queues are first in, first out, so that a look tells what has left them.
        unreadable: Messages that were set aside; None where the transport does not say.
    """

    trouble: str | None = None
    answered: int = 0
    consumers: tuple[str, ...] = ()
    bridge_workers: tuple[str, ...] = ()
    messages: int | None = None
    keeps_order: bool = True
    unreadable: int | None = None


def ask_workers(app: Celery, *, queue: str, bridge_queue: str, timeout_seconds: float) -> WorkersSeen:
    """Ask the broker and the workers.

    Args:
        app: The Celery app whose broker it is.
        queue: The queue that a client's events go to.
        bridge_queue: The queue of the bridge's own tasks.
        timeout_seconds: How long to wait for the broker, and then for the workers' answers.
    """
    named = "the broker"
    try:
        named = f"the broker {app.connection_for_write().as_uri()}"
        with connected(app, timeout_seconds=timeout_seconds) as connection:
            # Not by `inspect`, which keeps one answer of workers that have the same name.
            replies = app.control.broadcast("active_queues", reply=True, timeout=timeout_seconds, connection=connection)
            answers = [answer for reply in replies or () for answer in reply.items()]
            messages = queue_length(connection, queue, seconds=timeout_seconds)
            unreadable = queue_length(connection, unreadable_queue(bridge_queue), seconds=timeout_seconds)
            ordered = keeps_order(connection)
    except Exception as error:  # whatever it is, the broker can't be asked
        return WorkersSeen(trouble=f"{named} is not available: {error}")
    bridges = _consumers(answers, bridge_queue, ticks_queue(bridge_queue))  # a collector leaves only the second one
    return WorkersSeen(None, len(answers), _consumers(answers, queue), bridges, messages, ordered, unreadable)


@contextmanager
def connected(app: Celery, *, timeout_seconds: float) -> Iterator[Connection]:
    """Connect to the app's broker, for a person who waits for it.

    Raises:
        The errors of kombu and of the broker's driver.
    """
    options = {
        "socket_timeout": timeout_seconds * 2,
        "socket_connect_timeout": timeout_seconds,
        **app.conf.broker_transport_options,
    }
    connection: Connection = app.connection_for_write(transport_options=options, connect_timeout=timeout_seconds)
    with connection:
        connection.ensure_connection(
            max_retries=1, interval_start=INTERVAL_SECONDS, timeout=timeout_seconds, reraise_as_library_errors=True
        )
        yield connection


def _consumers(answers: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], *queues: str) -> tuple[str, ...]:
    return tuple(sorted(worker for worker, found in answers if any(queue["name"] in queues for queue in found)))
