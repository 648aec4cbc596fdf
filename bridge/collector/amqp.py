"""Reader on AMQP (RabbitMQ): a channel of our own, many messages ahead, one acknowledgement for all that is taken.

A message is not acknowledged before it is settled. The broker itself gives the messages of a dead collector to another
one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from amqp import Message
from celery import Celery
from kombu import Queue

from bridge.bounds import TAKEN_BYTES
from bridge.broker.fast_ways import AMQP_COLLECTOR
from bridge.broker.internals.connections import drop
from bridge.broker.internals.rabbitmq import keep_bytes, receive, try_confirms
from bridge.broker.legible import Letter, why_illegible
from bridge.broker.queues import declare_as_it_is, own_queue
from bridge.broker.tolerant import tolerate_properties
from bridge.collector.publishing import Publishing
from bridge.collector.reader import Reader, TaskMessage, parse
from bridge.contract import unreadable_queue
from bridge.errors import BrokerRefuses, BrokerUnavailable

PREFETCH = 4000  # messages: the broker sends the next ones while we settle these
AT_HAND_SECONDS = 0.001  # with 0 the driver would spin where the broker stalls in the middle of a message


class AmqpReader(Reader[Message]):
    """Reader on an AMQP broker.

    Args:
        app: Its broker, and its declaration of the queue, are used.
        queue: Queue of the bridge's own tasks.
        others: Queue for every message that is no callback, as it came.
    """

    fast_way = AMQP_COLLECTOR
    try_out = staticmethod(try_confirms)

    def __init__(self, app: Celery, *, queue: str, others: str) -> None:
        self._app = app
        self._queue, self._others = queue, others
        self._unreadable = unreadable_queue(queue)
        self._ahead: deque[Message] = deque()  # sent to us, in the order of their tags, and not taken yet
        self._bytes = 0  # of those; what is not read waits in the broker, or in the socket
        self._taken: list[int] = []  # tags, in their order
        self._kept: list[int] = []  # tags of older messages that stay taken
        self._passed: set[int] = set()  # tags of those among them that the broker has on the other queue
        self._broken = False
        self._publishing = Publishing(app)
        tolerate_properties()
        self._connection = app.connection_for_read(heartbeat=app.conf.broker_heartbeat)
        try:
            with self._translated():
                self._connection.connect()
                self._channel = self._connection.channel()
                declare_as_it_is(self._connection, Queue(others, exchange="", routing_key=others))
                declare_as_it_is(self._connection, own_queue(app, queue), bound=True)
                keep_bytes(self._channel)
                self._channel.basic_qos(0, PREFETCH, False)
                self._channel.basic_consume(queue, callback=self._arrived)
        except BrokerUnavailable:
            self.close()
            raise

    def take(self, most: int) -> list[Message]:
        """Take up to `most` messages; they stay in the broker until `done`.

        Raises:
            BrokerUnavailable: the broker gives what was taken to another collector.
        """
        with self._translated():
            while (room := self._bytes < TAKEN_BYTES) and len(self._ahead) < most:
                if not receive(self._channel, AT_HAND_SECONDS):
                    break
        self.left_some = not room
        return self._next(most)

    def wait(self, seconds: float) -> list[Message]:
        """Take the next message as soon as there is one, or none after `seconds`; show the broker that we live."""
        with self._translated():
            if not self._ahead:
                receive(self._channel, seconds)
            self._channel.connection.heartbeat_tick()
        return self._next(1)

    def read(self, message: Message) -> TaskMessage | None:
        """Return what a message calls; None if it is no message of Celery's in JSON."""
        return parse(message.properties.get("content_type"), _headers(message), _body(message))

    def done(self, keep: Sequence[Message] = ()) -> None:
        """Acknowledge what was taken, but for these messages."""
        wanted = {message.delivery_tag for message in keep}
        with self._translated():
            if not wanted and not self._kept:
                if self._taken:  # 0 would acknowledge what is ahead, too
                    self._channel.basic_ack(self._taken[-1], multiple=True)
            else:
                for tag in (*self._kept, *self._taken):
                    if tag not in wanted:
                        self._channel.basic_ack(tag)
        self._taken, self._kept = [], sorted(wanted)

    def put_back(self, messages: Sequence[Message]) -> None:
        """Put messages that were taken behind all others of the queue; the broker has them twice until `done`."""
        with self._translated():
            self._publishing.publish(messages, to=self._queue)

    def show_life(self) -> None:
        """Show the broker that we live; what it sends meanwhile is not taken."""
        with self._translated():
            receive(self._channel, AT_HAND_SECONDS)
            self._channel.connection.heartbeat_tick()

    def why_illegible(self, message: Message) -> str:
        """Say why a worker can't read a message; an empty string if it can."""
        found = message.properties
        letter = Letter(
            _body(message), found.get("content_type"), found.get("content_encoding"), _headers(message), found
        )
        return why_illegible(self._app, letter)

    def forward(self, messages: Sequence[Message]) -> None:
        """Hand messages to the worker's ordinary consumer; return when the broker has them."""
        left = [message for message in messages if message.delivery_tag not in self._passed]
        try:
            with self._translated():
                self._publishing.publish(left, to=self._others)
        except BrokerRefuses as error:  # the queue had room for some
            self._passed |= {left[nth].delivery_tag for nth in error.taken}
            raise
        self._passed.clear()

    def set_aside(self, messages: Sequence[Message], *, why: str) -> None:
        """Keep messages, as they came, on a queue for people to look at."""
        with self._translated():
            self._publishing.keep(messages, on=self._unreadable, why=why)

    def adopt(self) -> int:
        """Do nothing and return 0: the broker puts back what dead collectors had taken."""
        return 0

    def close(self) -> None:
        """Disconnect; the broker puts back what is not acknowledged."""
        self._publishing.close()
        if self._broken:
            drop(self._connection)
        else:
            self._connection.release()

    def _arrived(self, message: Message) -> None:
        self._ahead.append(message)
        self._bytes += len(message.body or b"")

    def _next(self, most: int) -> list[Message]:
        taken = [self._ahead.popleft() for _ in range(min(most, len(self._ahead)))]
        self._bytes -= sum(len(message.body or b"") for message in taken)
        self._taken += [message.delivery_tag for message in taken]
        return taken

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate the driver's errors. The channel is of no use after one: tags die with it."""
        if self._broken:
            raise BrokerUnavailable("the broker is not available: the connection is lost")
        try:
            yield
        except (*self._connection.connection_errors, *self._connection.channel_errors) as error:
            self._broken = True
            raise BrokerUnavailable(f"the broker is not available: {error}") from error
        except BrokerRefuses:  # of what is published, on another connection
            raise
        except BrokerUnavailable:
            self._broken = True
            raise


def _headers(message: Message) -> dict[str, Any]:
    return message.properties.get("application_headers") or {}


def _body(message: Message) -> bytes:
    return bytes(message.body or b"")  # of an empty message it is an empty string
