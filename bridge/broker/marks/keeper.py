"""What keeps a bridge's mark in a broker: it is taken, looked at, and put back, mostly renewed.

A keeper has a connection of its own, so that nothing of this disturbs what is sent. Whoever writes a mark replaces the
very one that it has read: a process that stood still for an hour in between changes nothing. That the broker itself
sees to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu import Connection
from kombu.exceptions import KombuError

from bridge.broker.internals.connections import drop
from bridge.broker.opening import connection_to
from bridge.broker.transports import bounded
from bridge.errors import BrokerUnavailable
from bridge.mark import Held, Mark


class MarkRefused(Exception):
    """The broker does not let this user keep a mark; all else may work."""


class Taken(ABC):
    """A broker's mark as it was read.

    Attributes:
        mark: None if the broker has none; `HELD` if another process has it in its hands.
    """

    mark: Mark | Held | None

    @abstractmethod
    def put(self, mark: Mark, *, anew: bool = False) -> bool:
        """Replace the mark that was read; return False if the broker has another one by now, or takes nothing.

        Args:
            mark: The new one.
            anew: Forget what was noted beside the old one.
        """


class Keeper(ABC):
    """Keeps the mark of a bridge in an app's broker; the connection is made when it is first used.

    Args:
        app: Its broker is used.
        queue: The bridge's queue.
        connect_timeout_seconds: How long to wait for the broker.
    """

    def __init__(self, app: Celery, *, queue: str, connect_timeout_seconds: float) -> None:
        self._app = app
        self._queue = queue
        self._connect_timeout_seconds = connect_timeout_seconds
        self._connection: Connection | None = None

    @contextmanager
    def taken(self) -> Iterator[Taken]:
        """Take the mark, for as long as the block lasts.

        Raises:
            BrokerUnavailable: the broker refused, dropped or timed out.
            MarkRefused: this user may not keep a mark there.
        """
        try:
            with self._take(self._connected()) as taken:
                yield taken
        except self._errors() as error:
            self.close(broken=True)
            raise BrokerUnavailable(f"the broker is not available: {error}") from error
        except BaseException:
            self.close(broken=True)  # whatever was read, and not put back, is the broker's again
            raise

    def close(self, *, broken: bool = False) -> None:
        """Disconnect; of a broken connection close only our end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            drop(connection) if broken else connection.release()

    @abstractmethod
    def _take(self, connection: Connection) -> AbstractContextManager[Taken]:
        """Take the mark on this connection."""

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = self._app.connection_for_write(
                transport_options=self._options() | self._must(), connect_timeout=self._connect_timeout_seconds
            )
            try:
                connection.ensure_connection(max_retries=1, timeout=self._connect_timeout_seconds)
            except BaseException:
                drop(connection)
                raise
            self._connection = connection
        return self._connection

    def _options(self) -> dict[str, Any]:
        answer_seconds = 2 * self._connect_timeout_seconds
        return bounded(
            self._app,
            socket_timeout=answer_seconds,
            socket_connect_timeout=self._connect_timeout_seconds,
            write_timeout=answer_seconds,
            read_timeout=answer_seconds,
        )

    def _must(self) -> dict[str, Any]:
        """Return the transport options that an app can't change."""
        return {}

    def _errors(self) -> tuple[type[BaseException], ...]:
        it = self._app.connection_for_write()
        return (KombuError, OSError, *it.connection_errors, *it.channel_errors, *it.recoverable_connection_errors)


def address(app: Celery) -> str:
    """Return where an app's broker is, without user and password; of several addresses, all.

    Sentinels serve more than one broker: the name of this one's primary stands beside them.

    Raises:
        ConfigurationError: the address can't be read.
    """
    connection = connection_to(app)
    places = connection.alt or [connection.as_uri(include_password=False)]
    name = app.conf.broker_transport_options.get("master_name")
    return ";".join(sorted(_place(each) for each in places)) + (f" ({name})" if name else "")


def _place(uri: str) -> str:
    parts = urlsplit(uri)
    place = f"{parts.netloc}{parts.path}".rpartition("@")[2]  # a password with a slash looks like a path
    return f"{parts.scheme}://{place.rstrip('/')}"
