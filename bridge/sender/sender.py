"""The only broker writer: turns deliveries into Celery messages and sees the broker accept them.

A message is what `app.send_task(task, args=[event], task_id=…, queue=…, link=…, link_error=…)` would send, so that
every worker, Flower, events and tracing treat it as their own. Nothing is declared on the fleet's side: a queue with
other arguments than ours would be refused, so messages go to the queue by name. RabbitMQ confirms each batch as a
whole, and says so where that queue does not exist.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from celery import Celery
from kombu import Connection, Producer
from kombu.exceptions import EncodeError, KombuError, SerializerNotInstalled
from redis.exceptions import RedisError

from bridge.broker.confirms import Confirms
from bridge.broker.queues import own_queue
from bridge.errors import BrokerUnavailable, InvalidClient, QueueMissing, Undeliverable
from bridge.model import Client, Delivery
from bridge.sender.celery import send_by_celery
from bridge.sender.cutter import is_unheard
from bridge.sender.kombu import KombuWriter
from bridge.sender.redis import RedisWriter


class Sender:
    """Publishes deliveries on an app's broker; one connection per process, made anew after an error.

    Args:
        app: The Celery app whose broker, protocol and signals are used.
        queue: Queue of the bridge's own tasks.
        secret: Key that signs callbacks.
        connect_timeout_seconds: How long to wait for the broker.
        fast: Whether the fast path may be taken where it can.
    """

    def __init__(
        self, app: Celery, *, queue: str, secret: str, connect_timeout_seconds: float, fast: bool = True
    ) -> None:
        self._app = app
        self._queue = queue
        self._secret = secret
        self._connect_timeout_seconds = connect_timeout_seconds
        self._fast_allowed = fast
        self._producer: Producer | None = None
        self._cutter: RedisWriter | KombuWriter | None = None
        self._confirms: Confirms | None = None
        self._pid = 0

    def send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        """Publish these deliveries in order and return when the broker has them.

        Returns:
            Deliveries that no message can be made of; all others were sent.

        Raises:
            BrokerUnavailable: some messages may have arrived, the caller must not remember any.
            QueueMissing: the client's queue does not exist; the same holds.
            InvalidClient: the client's serializer can't be used.
        """
        with self._connected() as producer:
            if self._cutter is not None and client.serializer == "json" and is_unheard(self._app):
                refused = self._cutter.send(client, deliveries)
            else:
                refused = send_by_celery(
                    self._app, producer, client, deliveries, secret=self._secret, queue=self._queue
                )
            if self._confirms is not None and client.queue in self._confirms.wait(self._patience_seconds):
                raise QueueMissing(client.queue)
            return refused

    def close(self, *, broken: bool = False) -> None:
        """Close this process's connection; of a broken one only our end."""
        producer, self._producer, self._cutter, self._confirms = self._producer, None, None, None
        if producer is not None and self._pid == os.getpid():
            if broken:  # RabbitMQ may never answer a polite goodbye, and a transaction is waiting
                producer.connection.collect()
            else:
                producer.connection.release()

    @contextmanager
    def _connected(self) -> Iterator[Producer]:
        """This process's producer; any trouble closes it and means that the broker is not there."""
        try:
            if self._producer is None or self._pid != os.getpid():
                self._confirms, self._pid = None, os.getpid()
                self._producer = self._connect()
                way = RedisWriter if self._fast_allowed and RedisWriter.serves(self._producer) else KombuWriter
                self._cutter = way(self._app, self._producer, queue=self._queue, secret=self._secret)
            yield self._producer
        except (EncodeError, SerializerNotInstalled) as error:
            raise InvalidClient(f"a message can't be serialised: {error or 'no such serializer'}") from error
        except (KombuError, RedisError, OSError, *self._errors()) as error:
            self.close(broken=True)
            raise BrokerUnavailable(f"the broker {self._where()} is not available: {error}") from error

    def _connect(self) -> Producer:
        options = {
            "socket_timeout": self._patience_seconds,
            "socket_connect_timeout": self._connect_timeout_seconds,
            "write_timeout": self._patience_seconds,  # RabbitMQ stops reading when it is short of memory or disk
            **self._app.conf.broker_transport_options,
        }
        if options.get("confirm_publish"):  # one round trip per message; we wait once for all of them
            options["confirm_publish"] = False
        connection: Connection = self._app.connection_for_write(
            transport_options=options, connect_timeout=self._connect_timeout_seconds
        )
        connection.ensure_connection(
            max_retries=1, timeout=self._connect_timeout_seconds, reraise_as_library_errors=True
        )
        try:
            producer = self._app.amqp.Producer(connection, auto_declare=False)
            # Fleets publish callbacks without declaring anything: where this queue is missing, RabbitMQ drops them.
            own_queue(self._app, self._queue)(producer.channel).queue_declare()
            if connection.transport.driver_name == "py-amqp":
                self._confirms = Confirms(producer.channel)
        except BaseException:
            connection.collect()
            raise
        return producer

    @property
    def _patience_seconds(self) -> float:
        """How long to wait for an answer."""
        return self._connect_timeout_seconds * 2

    def _errors(self) -> tuple[type[BaseException], ...]:
        connection = self._app.connection_for_write()
        return (*connection.connection_errors, *connection.channel_errors)

    def _where(self) -> str:
        return str(self._app.connection_for_write().as_uri())
