"""Reader on AMQP (RabbitMQ): a channel of our own, many messages ahead, one acknowledgement for a whole batch.

What is taken is not acknowledged before it is settled. The broker itself gives what a dead collector held to another
one.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from amqp import Message
from celery import Celery
from kombu import Queue

from bridge.broker.confirms import Confirms
from bridge.broker.queues import own_queue
from bridge.collector.callback import Callback, parse
from bridge.errors import BrokerUnavailable

logger = logging.getLogger("bridge.collector")

PREFETCH = 4000  # so that the broker sends the next batch while we settle this one
AT_HAND_SECONDS = 0.001  # with 0 the driver would spin where the broker stalls in the middle of a message
CONFIRM_SECONDS = 10.0
PERSISTENT = 2


class AmqpReader:
    """Reader on an AMQP broker.

    Args:
        app: Its broker, and its declaration of the queue, are used.
        queue: Queue of the bridge's own tasks.
        others: Queue for every message that is no callback, as it came.
    """

    def __init__(self, app: Celery, *, queue: str, others: str) -> None:
        self._others = others
        self._unreadable = f"{queue}.unreadable"
        self._ahead: deque[Message] = deque()  # sent to us, in the order of their tags, and not taken yet
        self._last_tag = 0
        self._broken = False
        self._connection = app.connection_for_read(heartbeat=app.conf.broker_heartbeat)
        try:
            with self._translated():
                self._connection.connect()
                self._publishing = self._connection.channel()
                self._confirms = Confirms(self._publishing)
                self._declare(others)
                own_queue(app, queue)(self._publishing).declare()
                self._channel = self._connection.channel()
                self._channel.auto_decode = False  # what is passed on must be, byte for byte, what came
                self._channel.basic_qos(0, PREFETCH, False)
                self._channel.basic_consume(queue, callback=self._ahead.append)
        except BrokerUnavailable:
            self.close()
            raise

    def take(self, most: int) -> list[Message]:
        """Take up to `most` messages; they stay in the broker until `done`.

        Raises:
            BrokerUnavailable: the broker gives what was taken to somebody else.
        """
        with self._translated():
            while len(self._ahead) < most and self._receive(AT_HAND_SECONDS):
                pass
        return self._next(most)

    def wait(self, seconds: float) -> list[Message]:
        """Take the next message as soon as there is one, or none after `seconds`; shows the broker that we live."""
        with self._translated():
            if not self._ahead:
                self._receive(seconds)
            self._channel.connection.heartbeat_tick()
        return self._next(1)

    def read(self, message: Message) -> Callback | None:
        """What a message calls; None if it is not one that this module can read."""
        return parse(message.properties.get("content_type"), _headers(message), _body(message))

    def done(self) -> None:
        """Acknowledge what was taken: it is settled."""
        with self._translated():
            if self._last_tag:  # 0 would acknowledge what is ahead, too
                self._channel.basic_ack(self._last_tag, multiple=True)
                self._last_tag = 0

    def pass_on(self, messages: Sequence[Message]) -> None:
        """Hand messages that are no callbacks to the worker's ordinary consumer; returns when the broker has them.

        What no worker could run, and would throw away, is kept on a queue of its own for somebody to look at.
        """
        garbage = [message for message in messages if not _is_task(message)]
        with self._translated():
            for message in messages:
                if _is_task(message):
                    self._publish(message, to=self._others)
            if garbage:
                logger.warning(
                    "%d messages on the queue can't be read, they are kept on %s", len(garbage), self._unreadable
                )
                self._declare(self._unreadable)
            for message in garbage:
                message.properties.pop("expiration", None)
                message.properties["delivery_mode"] = PERSISTENT
                self._publish(message, to=self._unreadable)
            missing = self._confirms.wait(CONFIRM_SECONDS)
        if missing:
            raise BrokerUnavailable(f"messages could not be passed on, somebody has deleted {', '.join(missing)}")

    def adopt(self) -> int:
        """Nothing to do: the broker puts back what dead collectors had taken."""
        return 0

    def close(self) -> None:
        """Disconnect; the broker puts back what is not acknowledged."""
        if self._broken:  # the broker may never answer to a polite goodbye
            self._connection.collect()
        else:
            self._connection.release()

    def _declare(self, queue: str) -> None:
        Queue(queue, exchange="", routing_key=queue)(self._publishing).queue_declare()

    def _publish(self, message: Message, *, to: str) -> None:
        message.properties.pop("user_id", None)  # the broker refuses any but our own
        self._publishing.basic_publish(message, exchange="", routing_key=to, mandatory=True)

    def _receive(self, seconds: float) -> bool:
        """Read from the broker once; whether there was anything."""
        try:
            self._channel.connection.drain_events(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def _next(self, most: int) -> list[Message]:
        taken = [self._ahead.popleft() for _ in range(min(most, len(self._ahead)))]
        if taken:
            self._last_tag = taken[-1].delivery_tag
        return taken

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The driver's errors as ours. The channel is of no use after one: tags die with it."""
        if self._broken:
            raise BrokerUnavailable("the broker is not available: the connection is lost")
        try:
            yield
        except (*self._connection.connection_errors, *self._connection.channel_errors) as error:
            self._broken = True
            raise BrokerUnavailable(f"the broker is not available: {error}") from error
        except BrokerUnavailable:
            self._broken = True
            raise


def _headers(message: Message) -> dict[str, Any]:
    return message.properties.get("application_headers") or {}


def _body(message: Message) -> bytes:
    return bytes(message.body or b"")  # of an empty message it is an empty string


def _is_task(message: Message) -> bool:
    """Whether a worker would take this for a call of a task; in protocol 1 the name is in the body."""
    if isinstance(_headers(message).get("task"), str):
        return True
    try:
        body = json.loads(_body(message))
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and isinstance(body.get("task"), str)
