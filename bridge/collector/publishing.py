"""What a collector publishes on RabbitMQ goes over a connection of its own, beside the one that it reads from.

A RabbitMQ that is short of memory or disk stops reading a connection that publishes. What is acknowledged on the same
connection would not be read either, and a queue that is full of outcomes, and the reason of the alarm, would stay full.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from amqp import Message
from celery import Celery

from bridge.broker.confirms import Confirms
from bridge.broker.internals.connections import drop
from bridge.collector.aside import few_lines, keep_on_amqp
from bridge.errors import BrokerRefuses, BrokerUnavailable

CONNECT_SECONDS = 5.0
CONFIRM_SECONDS = 2.0  # outcomes wait meanwhile
SHORT = "the broker takes no messages: is it short of memory or disk?"


class Publishing:
    """Publishes on an app's broker; the connection is made when it is first used, and anew after an error.

    Args:
        app: Its broker is used, that which its workers read from.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Any = None
        self._channel: Any = None
        self._confirms: Confirms | None = None
        self._lines = few_lines()

    def publish(self, messages: Sequence[Message], *, to: str) -> None:
        """Put messages on a queue; return when the broker has them.

        Raises:
            BrokerRefuses: it takes none for now.
            BrokerUnavailable: it is away, or there is no such queue.
        """

        def put() -> None:
            assert self._confirms is not None
            for message in messages:
                message.properties.pop("user_id", None)  # the broker refuses any but our own
                self._channel.basic_publish(message, exchange="", routing_key=to, mandatory=True)
            if self._confirms.wait(CONFIRM_SECONDS):
                raise BrokerUnavailable(f"messages can't be passed on, this queue was deleted: {to}")

        self._do(put)

    def keep(self, messages: Sequence[Message], *, on: str, why: str) -> None:
        """Set messages aside.

        Raises:
            BrokerRefuses: the broker takes none for now.
            BrokerUnavailable: it is away.
        """
        self._do(lambda: keep_on_amqp(self._connection, on, messages, why=why, lines=self._lines))

    def close(self) -> None:
        """Disconnect, without a word: a broker that reads nothing would not answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            drop(connection)

    def _do(self, what: Callable[[], None]) -> None:
        """Do something on the connection; one that has rested may be gone, and is made anew once."""
        rested = self._connection is not None
        try:
            self._open()
            what()
        except TimeoutError as error:
            self.close()
            raise BrokerRefuses(SHORT) from error
        except self._app.connection_for_read().connection_errors as error:
            self.close()
            if rested:
                self._do(what)
            else:
                raise BrokerUnavailable(f"the broker is not available: {error}") from error
        except self._app.connection_for_read().channel_errors as error:
            self.close()
            raise BrokerRefuses(f"the broker refuses messages: {error}") from error
        except BrokerUnavailable:
            self.close()
            raise

    def _open(self) -> None:
        if self._connection is not None:
            return
        given = {name: value for name, value in self._app.conf.broker_transport_options.items() if value}
        options = {"read_timeout": CONNECT_SECONDS, "write_timeout": CONFIRM_SECONDS, **given, "confirm_publish": False}
        self._connection = self._app.connection_for_read(transport_options=options, connect_timeout=CONNECT_SECONDS)
        self._connection.connect()
        self._channel = self._connection.channel()
        self._confirms = Confirms(self._channel)
        # Of each connection RabbitMQ takes the first message even then: so that it is none of ours, again and again.
        for _ in range(2):
            nowhere = f"bridge.trial.{uuid.uuid4().hex}"
            self._channel.basic_publish(Message(""), exchange="", routing_key=nowhere, mandatory=True)
            self._confirms.wait(CONFIRM_SECONDS)
