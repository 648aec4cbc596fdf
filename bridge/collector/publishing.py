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
from bridge.broker.transports import bounded
from bridge.broker.unread import LOOK_SECONDS, SHORT, Patience
from bridge.collector.aside import few_lines, keep_on_amqp, only_here, say_lost
from bridge.errors import BrokerRefuses, BrokerUnavailable

CONNECT_SECONDS = 5.0
CONFIRM_SECONDS = 2.0  # outcomes wait meanwhile
TRIALS = 2


class Publishing:
    """Publishes on an app's broker; the connection is made when it is first used, and anew after an error.

    Whatever goes wrong here is no trouble of the connection that is read from: it tells by itself whether the broker is
    there. A broker that takes no more connections, or nothing from this user, may still give outcomes.

    Args:
        app: Its broker is used, that which its workers read from.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Any = None
        self._channel: Any = None
        self._confirms: Any = None
        self._on_trial = False
        self._patience = Patience()
        self._lines = few_lines()

    def publish(self, messages: Sequence[Message], *, to: str) -> None:
        """Put messages on a queue; return when the broker has them.

        Raises:
            BrokerRefuses: it takes no more for now, or is away.
            BrokerUnavailable: there is no such queue.
        """

        def put() -> None:
            before = self._confirms.published
            for message in messages:
                message.properties = only_here(message.properties)
                self._channel.basic_publish(message, exchange="", routing_key=to, mandatory=True)
            try:
                unroutable = self._confirms.wait(CONFIRM_SECONDS)
            except BrokerRefuses as error:  # its channel is still good
                raise BrokerRefuses(f"queue {to!r}: {error}", taken=self._confirms.taken_since(before)) from error
            except TimeoutError as error:
                self.close()
                raise BrokerRefuses(SHORT, taken=self._confirms.taken_since(before)) from error
            if unroutable:
                raise BrokerUnavailable(f"messages can't be passed on, this queue was deleted: {to}")

        self._do(put, to)

    def keep(self, messages: Sequence[Message], *, on: str, why: str) -> None:
        """Set messages aside; where the broker takes none they are dropped, or all others would wait with them."""
        try:
            self._do(lambda: keep_on_amqp(self._connection, on, messages, why=why, lines=self._lines), on)
        except BrokerRefuses as error:
            bodies = [bytes(message.body or b"") for message in messages]
            say_lost(bodies, queue=on, why=why, error=error, lines=self._lines)

    def close(self) -> None:
        """Disconnect, without a word: a broker that reads nothing would not answer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            drop(connection)

    def _do(self, what: Callable[[], None], queue: str) -> None:
        """Do something on the connection; one that has rested may be gone, and is made anew once."""
        rested = self._connection is not None
        it = self._app.connection_for_read()
        try:
            self._open()
            what()
        except TimeoutError as error:
            if not self._on_trial or self._patience.is_over():
                self.close()
            raise BrokerRefuses(SHORT) from error
        except BrokerRefuses:
            raise
        except BrokerUnavailable:
            self.close()
            raise
        except it.connection_errors as error:
            self.close()
            if not rested:
                raise BrokerRefuses(f"the broker takes no messages for queue {queue!r}: {error}") from error
            self._do(what, queue)
        except it.channel_errors as error:
            self.close()
            raise BrokerRefuses(f"the broker refuses messages for queue {queue!r}: {error}") from error

    def _open(self) -> None:
        """Connect, and see that the broker reads what is published.

        One that is short of memory or disk takes the first message of each connection all the same: so that it is none
        of ours, again and again. It does not notice that we close a connection that it does not read. So the one that
        it did not read in time is kept for a while, see `Patience`: else they would pile up there.
        """
        seconds = LOOK_SECONDS
        if self._connection is None:
            self._connect()
            seconds = CONFIRM_SECONDS
        if self._on_trial:
            self._confirms.wait(seconds)
            while self._confirms.published < TRIALS:
                nowhere = f"bridge.trial.{uuid.uuid4().hex}"
                self._channel.basic_publish(Message(""), exchange="", routing_key=nowhere, mandatory=True)
                self._confirms.wait(seconds)
            self._on_trial = False
            self._patience.end()

    def _connect(self) -> None:
        self._on_trial = False
        options: dict[str, Any] = bounded(self._app, read_timeout=CONNECT_SECONDS, write_timeout=CONFIRM_SECONDS)
        options["confirm_publish"] = False
        connection = self._app.connection_for_read(transport_options=options, connect_timeout=CONNECT_SECONDS)
        try:
            connection.connect()
            self._channel = connection.channel()
            self._confirms = Confirms(self._channel)
        except BaseException:
            drop(connection)
            raise
        self._connection, self._on_trial = connection, True
        self._patience.begin()
