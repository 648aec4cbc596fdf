"""Collectors that run in a thread, and brokers as a stranger sees them: what several files of this folder share."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import amqp
from celery import Celery
from kombu import Connection
from redis import Redis

from bridge.app import Bridge
from bridge.collector.loop import collect
from bridge.contract import sign
from bridge.model import Delivery
from tests.support.world import World

SECONDS = 60.0


class Broker(ABC):
    """A broker, by a connection of the test's own."""

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def put(self, queue: str, message: bytes, **properties: Any) -> None:
        """Put any bytes on a queue: on Redis an envelope, on RabbitMQ a body."""

    @abstractmethod
    def messages(self, queue: str) -> list[bytes]:
        """Take all messages off a queue, the oldest first."""

    @abstractmethod
    def waiting(self, queue: str) -> int:
        """Count the messages of a queue that nobody has in hand."""

    @abstractmethod
    def reconnect(self) -> None:
        """Connect anew, where an error has ended the connection."""

    @abstractmethod
    def close(self) -> None:
        """Disconnect."""


class OnRedis(Broker):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.client = Redis.from_url(url)

    def put(self, queue: str, message: bytes, **properties: Any) -> None:
        self.client.lpush(queue, message)

    def messages(self, queue: str) -> list[bytes]:
        found: Any = self.client.lrange(queue, 0, -1)
        self.client.delete(queue)
        return list(reversed(found))

    def waiting(self, queue: str) -> int:
        found: Any = self.client.llen(queue)
        return int(found)

    def reconnect(self) -> None:
        self.client.close()

    def close(self) -> None:
        self.client.close()


class OnRabbit(Broker):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.connection = Connection(url)

    def put(self, queue: str, message: bytes, **properties: Any) -> None:
        with self.connection.channel() as channel:
            channel.queue_declare(queue, durable=True, auto_delete=False)
            channel.basic_publish(amqp.Message(message, **properties), exchange="", routing_key=queue)

    def messages(self, queue: str) -> list[bytes]:
        found: list[bytes] = []
        with self.connection.channel() as channel:
            channel.auto_decode = False
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                found.append(bytes(message.body or b""))
        return found

    def waiting(self, queue: str) -> int:
        try:
            with self.connection.channel() as channel:
                return int(channel.queue_declare(queue, passive=True).message_count)
        except amqp.exceptions.NotFound:
            return 0

    def reconnect(self) -> None:
        self.connection.release()
        self.connection = Connection(self.url)

    def close(self) -> None:
        self.connection.release()


@contextmanager
def collecting(world: World, broker_url: str, **conf: Any) -> Iterator[Bridge]:
    """Run a collector in a thread, on the queue `bridge`."""
    stopping = threading.Event()
    with Celery("bridge", broker=broker_url, set_as_current=False) as app:
        url = world.store.engine.url.render_as_string(hide_password=False)
        app.conf.update({"bridge_secret": "s", "bridge_database_url": url, **conf})
        bridge = Bridge(app)
        options = {"queue": "bridge", "others": "bridge.ticks", "stopping": stopping}
        thread = threading.Thread(target=collect, args=(bridge,), kwargs=options)
        thread.start()
        try:
            yield bridge
        finally:
            stopping.set()
            thread.join(SECONDS)
            bridge.store.close()


def genuine(delivery: Delivery) -> list[Any]:
    """Return the arguments of a delivery's callback."""
    client, offset, epoch, attempt = delivery.client.id, delivery.offset, delivery.epoch, delivery.attempt
    return [client, offset, epoch, attempt, sign("s", (client, offset, epoch, attempt), generation=1)]
