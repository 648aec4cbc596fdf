"""The brokers of a torture, and what each can lose while everything else goes on: all of it, or one queue."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import amqp
from kombu import Connection
from redis import Redis

from bridge.demo.servers import run_redis
from tests.support import rabbit

LOSSES = ("flushed", "restarted empty", "queue deleted")
REFUSALS = ("full", "a replica", "forbidden")
REFUSING_SECONDS = 3.0
QUEUES = ("fleet", "bridge", "bridge.ticks")
MARK = "bridge.mark"


class Broker(ABC):
    """A broker that runs."""

    url: str

    @abstractmethod
    def has_mark(self) -> bool:
        """Tell whether it has the bridge's mark."""

    @abstractmethod
    def refuse(self, kind: str, pause: Callable[[float], object]) -> str:
        """Let the broker refuse what is sent, for a while; return what was done."""

    @abstractmethod
    def lose(self, kind: str, choose: random.Random) -> str:
        """Let the broker lose what it has; return what was done."""


class RedisBroker(Broker):
    """A Redis; one that was restarted without a file is empty, and has ended all connections.

    Its process stays here, because everything knows its port.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._redis = Redis.from_url(url, socket_timeout=30)

    def has_mark(self) -> bool:
        return bool(self._redis.hexists(MARK, "mark"))

    def refuse(self, kind: str, pause: Callable[[float], object]) -> str:
        redis = self._redis
        begin: tuple[str, ...]
        end: tuple[str, ...]
        if kind == "full":
            begin, end = ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")
        elif kind == "a replica":
            begin, end = ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")
        else:  # its user may not send any more
            begin, end = ("ACL", "SETUSER", "default", "-lpush", "-eval"), ("ACL", "SETUSER", "default", "+@all")
        redis.execute_command(*begin)  # type: ignore[no-untyped-call]
        try:
            pause(REFUSING_SECONDS)
        finally:
            redis.execute_command(*end)  # type: ignore[no-untyped-call]
        return f"the broker refused everything: it was {kind}"

    def lose(self, kind: str, choose: random.Random) -> str:
        redis = self._redis
        if kind == "queue deleted":
            queue = choose.choice(QUEUES)
            lists: Any = redis.keys(f"{queue}*")
            redis.delete(*[name for name in lists if redis.type(name) == b"list"] or [queue])
            return f"the broker lost queue {queue}"
        redis.flushall()
        if kind == "restarted empty":
            redis.client_kill_filter(_type="normal", skipme=True)
        return f"the broker was {kind}"


class RabbitBroker(Broker):
    """A virtual host of a RabbitMQ; one that was restarted empty is a virtual host that was deleted and made anew."""

    def __init__(self, url: str) -> None:
        self.url = url

    def has_mark(self) -> bool:
        with Connection(self.url) as connection, connection.channel() as channel, suppress(amqp.NotFound):
            return int(channel.queue_declare(MARK, passive=True).message_count) > 0
        return False

    def refuse(self, kind: str, pause: Callable[[float], object]) -> str:
        """Let it stop reading from whoever publishes, as it does when its memory is full."""
        rabbit.control(self.url, "set_vm_memory_high_watermark", "0.00001")
        try:
            pause(REFUSING_SECONDS)
        finally:
            rabbit.control(self.url, "set_vm_memory_high_watermark", "0.6")
        return "the broker was full"

    def lose(self, kind: str, choose: random.Random) -> str:
        if kind == "restarted empty":
            rabbit.lose_host(self.url)
            return "the broker's virtual host was deleted and made anew"
        with Connection(self.url) as connection:
            if kind == "queue deleted":
                queue = choose.choice(QUEUES)
                connection.default_channel.queue_delete(queue)
                return f"the broker lost queue {queue}"
            for queue in (*QUEUES, MARK):
                with connection.channel() as channel, suppress(amqp.NotFound):
                    channel.queue_purge(queue)
        return "the broker's queues were purged"


@contextmanager
def run_broker(kind: str, directory: Path, *, largest_bytes: int) -> Iterator[Broker]:
    """Run a broker that refuses larger messages than these."""
    if kind == "redis":
        with run_redis(directory) as url, Redis.from_url(url) as redis:
            redis.config_set("proto-max-bulk-len", largest_bytes)
            yield RedisBroker(url)
    else:
        with rabbit.rabbitmq(directory, configuration=f"max_message_size = {largest_bytes}") as next_host:
            yield RabbitBroker(next_host())
