"""Open a connection to an app's broker, whose address may be one that nobody can read."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Connection

from bridge.broker.transports import MALFORMED, why_missing
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
        raise ConfigurationError(why_missing(app) or MALFORMED) from None
    return connection
