"""Turn deliveries into Celery messages, and see the broker accept them: the only writer of event messages.

A message is the one that `app.send_task(task, args=[event], task_id=…, queue=…, link=…, link_error=…)` would send, so
that every worker, Flower, events and tracing treat it as their own. Nothing is declared on the fleet's side: a queue
with other arguments than ours would be refused, so messages go to the queue by name. On RabbitMQ each call waits once
until the broker has confirmed all its messages, and is told if that queue does not exist.

Three writers make the same messages. The Redis writer is the fastest and the Celery writer serves everywhere.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar

from celery import Celery
from kombu import Producer
from kombu.exceptions import EncodeError, KombuError, SerializerNotInstalled
from redis.exceptions import RedisError, ResponseError

from bridge.bounds import BATCH_BYTES
from bridge.broker.fast_ways import CONFIRMS, DELIVERY_TAGS, MARKS_ON_REDIS, REDIS_STENCIL
from bridge.broker.internals.connections import drop, is_virtual
from bridge.broker.internals.rabbitmq import try_confirms
from bridge.broker.marks import note_seen
from bridge.broker.queue_length import keeps_order, queue_length
from bridge.broker.revoking import revoke
from bridge.broker.transports import amazons_code, need_transport
from bridge.errors import (
    BridgeError,
    BrokerRefuses,
    BrokerUnavailable,
    InvalidClient,
    QueueMissing,
    Unsent,
)
from bridge.mark import NOTHING_SEEN, Seen
from bridge.model import Client, Delivery
from bridge.sender.celery import CeleryWriter
from bridge.sender.connection import Connected, Unread, connect
from bridge.sender.cutter import Cutter, is_unheard
from bridge.sender.full import Full
from bridge.sender.halving import Refusal, left_over, send_around
from bridge.sender.kombu import KombuWriter
from bridge.sender.portions import is_ordinary, portions, size_of
from bridge.sender.reading import sort_out
from bridge.sender.redis import RedisWriter
from bridge.sender.refusals import refusals, said_of_redis
from bridge.sender.room import Room
from bridge.sender.slow import Slow
from bridge.sender.writer import Writer
from bridge.tracing.spans import sending
from bridge.wording import said

logger = logging.getLogger("bridge")

Kind = TypeVar("Kind", bound=Writer)


class Sender:
    """Publishes deliveries on an app's broker; one connection per process, made anew after an error.

    Where several threads or greenlets of a process run pumps, they send one after the other: on a connection that is
    shared, one would take the answers to another one's messages.

    Args:
        app: The Celery app whose broker, protocol and signals are used.
        queue: Queue of the bridge's own tasks.
        secret: Key that signs callbacks.
        connect_timeout_seconds: How long to wait for the broker.
        redis_writer: Whether the Redis writer may serve on a Redis broker.
        batch_bytes: Most that is sent together, in bytes of events.
        shows: Whether messages show the beginning of their arguments to Flower and logs.
    """

    def __init__(
        self,
        app: Celery,
        *,
        queue: str,
        secret: str,
        connect_timeout_seconds: float,
        redis_writer: bool = True,
        batch_bytes: int = BATCH_BYTES,
        shows: bool = True,
    ) -> None:
        self._app = app
        self._queue = queue
        self._secret = secret
        self._connect_timeout_seconds = connect_timeout_seconds
        self._redis_writer = redis_writer
        self._batch_bytes = batch_bytes
        self._shows = shows
        self._slow, self._full = Slow(), Full(self.length)
        self._largest = 0  # of the messages that this connection's broker has taken
        self._together = True  # whether kombu may send messages together: not where some of them were refused just now
        self._seen = self._noted = NOTHING_SEEN  # the last event of the log, and what this broker was told of it
        self._connected: Connected | None = None
        self._cutter: Writer | None = None
        self._pid, self._unread = 0, Unread()
        self._turn, self._turn_pid = threading.RLock(), os.getpid()

    def send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Unsent]:
        """Publish these deliveries in order and return when the broker has them.

        Returns:
            Deliveries that no message can be made of, and those that a broker does not take for now that has taken
            others of them; the rest was sent.

        Raises:
            BrokerUnavailable: some messages may have arrived, the caller must not remember any.
            BrokerRefuses: the broker takes none of them for now; the same holds.
            QueueMissing: the client's queue does not exist; the same holds.
            InvalidClient: the client's serializer can't be used.
        """
        deliveries, refused = sort_out(client, deliveries)
        deliveries, slow = self._slow.sort_out(client, deliveries)
        unsent: list[Unsent] = [*refused, *slow]
        room, before = Room(len(deliveries)), self._full.taken[client.queue]
        with sending(client, deliveries, transport=self._transport) as batch, self._my_turn():
            for portion in portions(client, deliveries, known=lambda: self._largest, most_bytes=self._batch_bytes):
                unsent += room.refusal(portion) or self._send_portion(client, portion, room, before)
            room.raise_if_none()
            batch.left_out = {it.offset for it in unsent}
        return unsent

    def _send_portion(self, client: Client, portion: Sequence[Delivery], room: Room, before: int) -> list[Unsent]:
        """Send a portion around what the broker refuses of it; return what was not sent."""
        send = room.around(partial(self._send_together, client))
        found = send_around(client, portion, send)
        if found:
            found = self._full.look_again(client, portion, found, send, before=before)
        self._full.forget_others(client, portion, found)
        room.note(client, portion, found)
        return found

    def _send_together(self, client: Client, deliveries: Sequence[Delivery]) -> list[Unsent]:
        """Publish some deliveries, and return when the broker has them, or has taken those that it takes for now.

        Raises:
            Refusal: the broker refuses one of them, or may do so.
        """
        largest = size_of(deliveries) if len(deliveries) <= client.batch else 0  # if it is one message
        alone = 0 if is_ordinary(largest, self._largest) else largest
        with self._connection() as (producer, confirms):
            writer = self._writer(client, producer)
            seen = self._seen
            if seen > self._noted:  # before any message: so the broker has seen at least what it has messages of
                writer.beside = note_seen(producer, self._queue, seen, together=isinstance(writer, RedisWriter))
            writer.together, writer.slow = self._together, self._slow
            refused: list[Unsent] = []
            try:
                with refusals(producer, confirms, alone=alone):
                    refused += writer.send(client, deliveries)
                    unroutable = confirms.wait(self._answer_timeout_seconds) if confirms is not None else set()
            except BrokerRefuses as error:
                if error.taken:
                    self._full.took(client.queue)
                return left_over(client, deliveries, [*refused, *error.refused], error)
            if client.queue in unroutable:
                raise QueueMissing(client.queue)
            self._largest, self._noted, self._together = max(self._largest, alone), max(self._noted, seen), True
            if len(refused) < len(deliveries):
                self._full.took(client.queue, alone)
            return refused

    def remember(self, seen: Seen) -> None:
        """Let the broker note, along with the next messages, the last event that the log has now."""
        self._seen = seen

    def length(self, queue: str) -> int | None:
        """Return how many messages wait in a queue; None where the broker does not say, or does not keep their order.

        Raises:
            BrokerUnavailable: nothing was found out.
        """
        with self._connection() as (producer, _):
            if not keeps_order(producer.connection):
                return None
            return queue_length(producer.connection, queue, seconds=self._answer_timeout_seconds)

    def revoke(self, task_ids: Sequence[str]) -> None:
        """Ask the workers to drop these tasks; where that does not work, nothing is lost but the work of a copy."""
        try:
            with self._connection() as (producer, _):
                revoke(self._app, producer.connection, task_ids, seconds=self._answer_timeout_seconds)
        except BridgeError as error:
            logger.info("the workers can't be told to drop messages that were replaced: %s", said(error))

    def close(self, *, broken: bool = False) -> None:
        """Close this process's connection, after what is being sent; of a broken one only our end."""
        with self._my_turn():
            connected, self._connected, self._cutter, self._largest = self._connected, None, None, 0
            self._noted = NOTHING_SEEN
        if connected is not None and self._pid == os.getpid():
            it = connected.producer.connection
            drop(it) if broken else it.release()
        if not broken:
            self._unread.drop()

    def _my_turn(self) -> AbstractContextManager[bool]:
        """Return the lock of this process; a forked child makes its own, its parent's may be held for ever."""
        if self._turn_pid != os.getpid():
            self._turn, self._turn_pid = threading.RLock(), os.getpid()
        return self._turn

    def _writer(self, client: Client, producer: Producer) -> Writer:
        """Return the fastest writer whose messages can't be told from Celery's."""
        if client.serializer != "json" or not is_unheard(self._app):
            return self._make(CeleryWriter, producer)
        if self._cutter is None:
            self._cutter = self._conforming(producer)
        return self._cutter

    def _conforming(self, producer: Producer) -> Writer:
        """Return the fastest writer that finds kombu and Celery as it knows them."""
        cutters: list[type[Cutter[Any]]] = [KombuWriter]
        if self._redis_writer and RedisWriter.serves(producer):
            cutters.insert(0, RedisWriter)
        for cutter in cutters:
            writer = self._make(cutter, producer)
            if writer.conforms():
                return writer
        return self._make(CeleryWriter, producer)

    def _make(self, kind: type[Kind], producer: Producer) -> Kind:
        return kind(self._app, producer, queue=self._queue, secret=self._secret, shows=self._shows)

    @contextmanager
    def _connection(self) -> Iterator[Connected]:
        """Lend this process's connection; any trouble closes it and means that the broker is not there.

        Raises:
            ConfigurationError: the package for this kind of broker is missing.
        """
        if self._connected is None:
            need_transport(self._app)
        try:
            if self._connected is None or self._pid != os.getpid():
                self._cutter, self._pid, self._noted = None, os.getpid(), NOTHING_SEEN
                self._connected = connect(
                    self._app,
                    queue=self._queue,
                    connect_timeout_seconds=self._connect_timeout_seconds,
                    answer_timeout_seconds=self._answer_timeout_seconds,
                    unread=self._unread,
                )
            yield self._connected
        except Refusal:
            self.close(broken=True)
            raise
        except (EncodeError, SerializerNotInstalled) as error:
            raise InvalidClient(f"a message can't be serialised: {said(error) or 'no such serializer'}") from error
        except (KombuError, RedisError, OSError, *self._errors()) as error:
            self.close(broken=True)
            cause = error.__cause__ if isinstance(error.__cause__, RedisError) else error  # kombu says less than Redis
            if isinstance(cause, ResponseError):
                self._together = False
                raise BrokerRefuses(f"the broker {self._where()} takes no message: {said_of_redis(cause)}") from error
            raise BrokerUnavailable(f"the broker {self._where()} is not available: {said(cause)}") from error
        except Exception as error:
            if not amazons_code(error):
                raise
            self.close(broken=True)  # kombu does not count what Amazon answers among a transport's errors
            raise BrokerUnavailable(f"the broker {self._where()} does not do it: {said(error)}") from error

    @property
    def _answer_timeout_seconds(self) -> float:
        """How long to wait for an answer."""
        return self._connect_timeout_seconds * 2

    def _errors(self) -> tuple[type[BaseException], ...]:
        connection = self._app.connection_for_write()
        refused = connection.recoverable_connection_errors  # the nack of one message is among these
        return (*connection.connection_errors, *connection.channel_errors, *refused)

    def _transport(self) -> str:
        return str(self._app.connection_for_write().transport.driver_type)

    def _where(self) -> str:
        return str(self._app.connection_for_write().as_uri())


def foresee(app: Celery, *, redis_writer: bool) -> None:
    """Look at what an app's writers borrow before a worker's pool forks, so that its processes do not each warn."""
    transport = app.connection_for_write().transport
    if is_unheard(app):
        on_redis = redis_writer and transport.driver_type == "redis"
        if not (on_redis and REDIS_STENCIL.conforms()) and is_virtual(transport):
            DELIVERY_TAGS.conforms()
    if transport.driver_type == "redis":
        MARKS_ON_REDIS.conforms()
    if transport.driver_name == "py-amqp":
        CONFIRMS.conforms(try_confirms)
