"""Open a connection to an app's broker, whose address may be one that nobody can read."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Connection

from bridge.errors import ConfigurationError


def connection_to(app: Celery, **options: Any) -> Connection:
    """Return a connection to the broker that the app writes to; it is not opened yet.

    Args:
        app: Its configuration names the broker.
        options: As `Celery.connection_for_write` takes them.

    Raises:
        ConfigurationError: the address can't be read. Nothing of it is repeated: it may be a password.
    """
    try:
        connection: Connection = app.connection_for_write(**options)
        connection.as_uri()
        connection.transport_cls  # noqa: B018 - raises where there is no such transport
    except (ValueError, KeyError):
        raise ConfigurationError(
            "the broker's address can't be read: it is redis://:password@host:6379/0, or amqp://user:password@host//, "
            "say; in a password write / as %2F, # as %23, ? as %3F, @ as %40 and : as %3A"
        ) from None
    return connection
