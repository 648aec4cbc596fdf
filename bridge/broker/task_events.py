"""Receive what Celery's workers tell of their tasks while their events are on (`-E`, or `enable_events`).

On RabbitMQ the events wait in a queue of this connection's own, which is bounded in number, age and life; on Redis they
are not kept at all (pub/sub). Nothing is acknowledged, and what comes while nobody listens is gone.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from celery import Celery
from celery.events.event import get_exchange
from kombu import Consumer, Queue, binding
from kombu.exceptions import KombuError
from kombu.utils.uuid import uuid

from bridge.bounds import EVENT_BYTES, HEARD_BYTES
from bridge.broker.transports import ANSWER_SECONDS, bounded
from bridge.errors import BrokerUnavailable

FAILED, STARTED = "task-failed", "task-started"
KEYS = ("task.failed", "task.started", "task.multi")  # workers send task events many at once, as `task.multi`
QUEUE_SECONDS = 60.0  # RabbitMQ deletes a queue that nobody has read for so long
MESSAGE_SECONDS = 30.0
QUEUE_MESSAGES = 10_000
MESSAGES_AT_ONCE = 1_000
MOST_UNREAD = 100  # of them that can't be read at all
STARTED_MESSAGES = 200  # of one call: those without a failure are only read to learn how long failures took
DRIVERS = ("redis", "amqp")


class TaskEvents:
    """The events of the workers on an app's broker, as this process hears them.

    Args:
        app: Its broker, and its settings of events, are used.

    Raises:
        BrokerUnavailable: it does not answer.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._bodies: deque[bytes] = deque()
        self._unread = self._bytes = 0  # of one call
        self._connection = app.connection_for_read(
            heartbeat=app.conf.broker_heartbeat, transport_options=bounded(app, socket_timeout=ANSWER_SECONDS)
        )
        try:
            with self._translated():
                self._connection.connect()
                self._consumer = Consumer(
                    self._connection.channel(), [self._queue()], no_ack=True, on_message=self._keep, auto_declare=True
                )
                self._consumer.consume()
        except BrokerUnavailable:
            self.close()
            raise

    def receive(self, seconds: float) -> list[dict[str, Any]]:
        """Wait for so long for events; return those of tasks that failed, and of some that started, in their order.

        Raises:
            BrokerUnavailable: the connection is lost.
        """
        self._unread = self._bytes = 0
        with self._translated():
            for _ in range(MESSAGES_AT_ONCE):
                if not self._receive_one(seconds) or self._bytes > EVENT_BYTES:
                    break
                seconds = 0.01
            if self._connection.supports_heartbeats:
                self._connection.heartbeat_check()
        bodies, self._bodies = self._bodies, deque()
        return list(wanted_events(bodies))

    def enable(self) -> None:
        """Ask all workers on this broker to send their events.

        Raises:
            BrokerUnavailable: the connection is lost.
        """
        with self._translated():
            self._app.control.enable_events(connection=self._connection)

    def close(self) -> None:
        """Disconnect; RabbitMQ deletes the queue."""
        with suppress(Exception):  # of a connection that is lost
            self._connection.release()

    def _queue(self) -> Queue:
        conf = self._app.conf
        exchange = get_exchange(self._connection, name=conf.event_exchange)
        options: dict[str, Any] = {"durable": False, "auto_delete": True, "exclusive": True}
        name = f"{conf.event_queue_prefix}.bridge.{uuid()}"
        if exchange.type == "fanout":  # Redis knows one pattern for each queue
            return Queue(name, exchange, routing_key="task.#", **options)
        return Queue(
            name,
            bindings=[binding(exchange, routing_key=key) for key in KEYS],
            expires=QUEUE_SECONDS,
            message_ttl=MESSAGE_SECONDS,
            max_length=QUEUE_MESSAGES,  # the oldest go first
            **options,
        )

    def _receive_one(self, seconds: float) -> bool:
        """Wait for the next message; tell whether it came. One that kombu can't read is passed over."""
        try:
            self._connection.drain_events(timeout=seconds)
        except TimeoutError:
            return False
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # Anybody may publish anything there, and kombu expects a message of its own. It counts KeyError among the
            # errors of a connection.
            self._unread += 1
            if self._unread > MOST_UNREAD:  # perhaps it is not the message
                raise BrokerUnavailable(f"events can't be read: {type(error).__name__}") from error
        return True

    def _keep(self, message: Any) -> None:
        """Keep the body of a message, whatever it is."""
        body = message.body
        if isinstance(body, str):
            body = body.encode(errors="replace")
        if isinstance(body, bytes | bytearray | memoryview) and len(body) <= EVENT_BYTES:
            self._bodies.append(bytes(body))
            self._bytes += len(body)
            while self._bytes > HEARD_BYTES:  # on Redis, kombu reads all that has come at once
                self._bytes -= len(self._bodies.popleft())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        connection = self._connection
        try:
            yield
        except (KombuError, OSError, *connection.connection_errors, *connection.channel_errors) as error:
            raise BrokerUnavailable(f"the broker is not available: {error}") from error


def wanted_events(bodies: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the events of tasks that failed or started which are in these bodies, one or many in each.

    Most bodies hold neither, and are not parsed. Of those with starts alone only some are.
    """
    started = 0
    for body in bodies:
        if FAILED.encode() not in body:
            if started >= STARTED_MESSAGES or STARTED.encode() not in body:
                continue
            started += 1
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):  # of another serializer, or no event at all
            continue
        for event in content if isinstance(content, list) else [content]:
            if isinstance(event, dict) and event.get("type") in (FAILED, STARTED):
                yield event
