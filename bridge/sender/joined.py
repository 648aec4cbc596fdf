"""Many callbacks in one message: what a fleet's worker with the bridge in it publishes instead of one message each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError

from bridge.errors import BrokerUnavailable
from bridge.sender.message import SETTLE, callback

MOST = 500  # callbacks in one message


def publish_callbacks(app: Celery, queue: str, callbacks: Sequence[tuple[str, Sequence[Any]]]) -> None:
    """Publish callbacks, pairs of task name and arguments, to a bridge's queue.

    Raises:
        BrokerUnavailable: some may have arrived; publishing them again is harmless.
    """
    connection = app.connection_for_write()
    try:
        for first in range(0, len(callbacks), MOST):
            # Without Celery's patience: whoever gathers them tries again, and a worker that ends can't wait.
            app.signature(callback(SETTLE, queue, [callbacks[first : first + MOST]])).apply_async(retry=False)
    except (KombuError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
        raise BrokerUnavailable(f"the broker {connection.as_uri()} is not available: {error}") from error
