"""Ask the broker and its workers who consumes a queue, and how long it is. This changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from celery import Celery
from kombu import Connection

from bridge.broker.holding import Seen, ask_who_holds
from bridge.broker.internals.rabbitmq import on_blocked
from bridge.broker.opening import connection_to
from bridge.broker.queue_length import keeps_order, queue_length
from bridge.broker.transports import bounded, broker_is_set, need_transport, why_missing
from bridge.broker.unread import SHORT
from bridge.contract import COMMIT, ticks_queue, unreadable_queue
from bridge.errors import BrokerRefuses, BrokerUnavailable
from bridge.store.clients import ListedClient
from bridge.wording import counted

INTERVAL_SECONDS = 0.2  # between two tries to connect
NOT_SET = "no broker is set (broker_url, or CELERY_BROKER_URL), so Celery takes a RabbitMQ on this machine"


class WorkersSeen(NamedTuple):
    """Who is there.

    Attributes:
        trouble: Why the broker could not be asked; the rest is empty then.
        is_short: Whether that is because it is short of memory or disk.
        answered: How many workers answered at all; those without remote control never do.
        consumers: Workers that consume the queue.
        bridge_workers: Workers that consume the bridge's own queue.
        messages: Messages that wait in the queue; None where the transport does not say.
        keeps_order: Whether the transport's queues are first in, first out, so that a look tells what has left them.
        unreadable: Messages that were set aside; None where the transport does not say.
        callbacks: Messages that wait in the bridge's own queue; None where the transport does not say.
        held: How many tasks of the client workers hold: fetched, running, or scheduled; None if not all answered.
        ignorant: Workers that consume the queue, and do not know a task of the client.
        without_bridge: Workers that consume the queue, and have no bridge installed.
    """

    trouble: str | None = None
    is_short: bool = False
    answered: int = 0
    consumers: tuple[str, ...] = ()
    bridge_workers: tuple[str, ...] = ()
    messages: int | None = None
    keeps_order: bool = True
    unreadable: int | None = None
    callbacks: int | None = None
    held: int | None = None
    ignorant: tuple[str, ...] = ()
    without_bridge: tuple[str, ...] = ()


def ask_workers(
    app: Celery,
    *,
    queue: str,
    bridge_queue: str,
    timeout_seconds: float,
    client: str = "",
    tasks: Sequence[str] = (),
) -> WorkersSeen:
    """Ask the broker and the workers.

    Args:
        app: The Celery app whose broker it is.
        queue: The queue that a client's events go to.
        bridge_queue: The queue of the bridge's own tasks.
        timeout_seconds: How long to wait for the broker, and then for the workers' answers.
        client: Id of the client whose tasks to look for in the workers.
        tasks: The names of its tasks.
    """
    named = "the broker"
    if why := why_missing(app):
        return WorkersSeen(trouble=why)
    try:
        named = f"the broker {connection_to(app).as_uri()}"
        with connected(app, timeout_seconds=timeout_seconds) as connection:
            seen = ask_who_holds(app, connection, seconds=timeout_seconds)
            messages = queue_length(connection, queue, seconds=timeout_seconds)
            unreadable = queue_length(connection, unreadable_queue(bridge_queue), seconds=timeout_seconds)
            callbacks = queue_length(connection, bridge_queue, seconds=timeout_seconds)
            ordered = keeps_order(connection)
    except BrokerRefuses as error:
        return WorkersSeen(trouble=f"{named}: {error}", is_short=True)
    except Exception as error:  # whatever it is, the broker can't be asked
        return WorkersSeen(trouble=f"{named} is not available: {error}")
    consumers = seen.consumers(queue)
    return WorkersSeen(
        answered=len(seen.answers),
        consumers=_consumers(seen, queue),
        bridge_workers=_consumers(seen, bridge_queue, ticks_queue(bridge_queue)),  # a collector leaves only the second
        messages=messages,
        keeps_order=ordered,
        unreadable=unreadable,
        callbacks=callbacks,
        held=sum(id.partition(":")[0] == client for id in seen.held) if seen.complete else None,
        ignorant=tuple(sorted(it.worker for it in consumers if not set(tasks) <= it.tasks)),
        without_bridge=tuple(sorted(it.worker for it in consumers if COMMIT not in it.tasks)),
    )


def count_unreadable(app: Celery, bridge_queue: str, *, timeout_seconds: float) -> int | None:
    """Count the messages that were set aside; None where the broker does not tell, or can't be asked.

    Args:
        app: The Celery app whose broker it is.
        bridge_queue: The queue of the bridge's own tasks.
        timeout_seconds: How long to wait for the broker.
    """
    try:
        with connected(app, timeout_seconds=timeout_seconds) as connection:
            return queue_length(connection, unreadable_queue(bridge_queue), seconds=timeout_seconds)
    except Exception:  # whatever it is, the broker can't be asked
        return None


def tasks_unknown(app: Celery, clients: Iterable[ListedClient], *, timeout_seconds: float) -> dict[str, str]:
    """Return the clients whose task no worker on their queue knows, each with a sentence that says so.

    A queue that nobody consumes now is left out, as is a broker that does not answer: that is no word about the task.

    Args:
        app: The Celery app whose broker it is.
        clients: The clients to look at.
        timeout_seconds: How long to wait for the broker, and then for the workers' answers.
    """
    try:
        with connected(app, timeout_seconds=timeout_seconds) as connection:
            seen = ask_who_holds(app, connection, seconds=timeout_seconds)
    except Exception:  # whatever it is, the broker can't be asked
        return {}
    found = {}
    for client in clients:
        its = client.settings
        tasks = {its["task"], *(task for _, task in its["routes"])}
        consumers = seen.consumers(its["queue"])
        known = set[str]().union(*(it.tasks for it in consumers))
        if consumers and (unknown := sorted(tasks - known)):
            workers = counted(len(consumers), "worker")
            found[client.id] = (
                f"client {client.id}: none of {workers} on queue {its['queue']!r} knows task {', '.join(unknown)}"
            )
    return found


@contextmanager
def connected(app: Celery, *, timeout_seconds: float) -> Iterator[Connection]:
    """Connect to the app's broker, for a person who waits for it.

    Raises:
        ConfigurationError: the broker's address can't be read.
        BrokerUnavailable: no broker is set, and none answers where Celery looks for one then.
        BrokerRefuses: it is short of memory or disk.
        The errors of kombu and of the broker's driver.
    """
    need_transport(app)
    options = bounded(app, socket_timeout=timeout_seconds * 2, socket_connect_timeout=timeout_seconds)
    connection = connection_to(app, transport_options=options, connect_timeout=timeout_seconds)
    with connection:
        try:
            connection.ensure_connection(
                max_retries=1, interval_start=INTERVAL_SECONDS, timeout=timeout_seconds, reraise_as_library_errors=True
            )
        except Exception as error:  # whatever it is, nothing answers
            if broker_is_set(app):
                raise
            raise BrokerUnavailable(f"{error}; {NOT_SET}") from error
        blocked = [False]
        if connection.transport.driver_name == "py-amqp":
            on_blocked(connection.connection, blocked.append)
        try:
            yield connection
        except Exception as error:  # the question before was read; this one waits, in whichever of the driver's ways
            if not blocked[-1]:
                raise
            raise BrokerRefuses(SHORT) from error


def _consumers(seen: Seen, *queues: str) -> tuple[str, ...]:
    return tuple(sorted(it.worker for it in seen.answers if it.queues & set(queues)))
