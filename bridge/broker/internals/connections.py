"""Borrow from connections and channels of any transport."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import virtual


def drop(connection: Any) -> None:
    """Close our end of a kombu connection without a word to the broker.

    RabbitMQ may never answer a polite goodbye on a broken connection, and a transaction may be waiting.
    """
    if hasattr(connection, "collect"):
        connection.collect()
    else:
        connection.release()


def is_virtual(channel_or_transport: Any) -> bool:
    """Tell whether kombu itself plays the broker here, as it does on Redis, SQS and in memory."""
    return isinstance(channel_or_transport, virtual.Channel | virtual.Transport)


def number_messages(channel: Any) -> None:
    """Give the messages of a virtual channel delivery tags from a counter behind one random number.

    kombu asks the system for a random number per message, and each time the thread that reads the next events gets in
    between. The tags from here are as unique. Without it, the kombu writer takes about twice as long.
    """
    drawn, numbers = uuid.uuid4().hex, itertools.count()
    channel._next_delivery_tag = lambda: f"{drawn}.{next(numbers)}"


@contextmanager
def answered_within(connection: Any, seconds: float) -> Iterator[None]:
    """Bound each wait for an answer on a kombu connection to RabbitMQ; other transports have bounds of their own.

    A broker that is frozen would hold the caller, and what the caller has locked.

    Raises:
        TimeoutError: no answer came; the connection is of no use any more.
    """
    transport: Any = getattr(connection.connection, "transport", None)
    if not hasattr(transport, "having_timeout"):
        yield
        return
    with transport.having_timeout(seconds):
        yield
