"""The fast path for Redis: messages are cut from a stencil and pushed many at a time, while the next are cut.

It is taken where nobody could tell the difference: json messages on a Redis broker, no one listening to Celery's
publish signals, no task-sent events, no compression. Everything else takes the portable path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from kombu import Producer
from kombu.utils.json import dumps

from bridge.errors import Undeliverable
from bridge.model import Client, Delivery
from bridge.sender.cutter import Cutter, Form, sort_out
from bridge.sender.stencil import BODY, MARKERS, Stencil

_COMMAND = () if redis.VERSION >= (5, 3) else ("LPUSH",)  # redis-py wanted to know what a connection is for
CHUNK = 100  # messages of one command: it stays in the processor's cache from cutting to sending


class RedisWriter(Cutter[str]):
    """Cuts whole messages and pushes them; their place is a Redis key."""

    @staticmethod
    def serves(producer: Producer) -> bool:
        """Whether this is a Redis broker."""
        return bool(producer.connection.transport.driver_type == "redis")

    def send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        """Push these deliveries in order; returns those that no message can be made of."""
        deliveries, refused = sort_out(client, deliveries)
        with self._pushing() as push:
            for key, message, _ in self.cut(client, deliveries):
                push(key, message)
        return refused

    @contextmanager
    def _pushing(self) -> Iterator[Callable[[str, str], None]]:
        """Push messages in chunks; on leaving, see that Redis took every one."""
        pool = self._producer.channel.pool
        connection = pool.get_connection(*_COMMAND)
        chunks: dict[str, list[str]] = {}
        pushed: list[str] = []

        def flush(key: str) -> None:
            connection.send_command("LPUSH", key, *chunks.pop(key))
            pushed.append(key)

        def push(key: str, message: str) -> None:
            chunk = chunks.setdefault(key, [])
            chunk.append(message)
            if len(chunk) == CHUNK:
                flush(key)

        try:
            yield push
            for key in list(chunks):
                flush(key)
            for _ in pushed:
                connection.read_response()
        except BaseException:
            connection.disconnect()  # answers that nobody read would be taken for those of the next command
            raise
        finally:
            pool.release(connection)

    def _render(self, client: Client, form: Form) -> tuple[str, Stencil]:
        """The Redis key that messages go to, and what they are cut from: one that kombu was about to store."""
        channel = self._producer.channel
        stored: list[tuple[str, dict[str, Any]]] = []
        channel._put = lambda queue, message, **_: stored.append((queue, message))
        try:
            self._publish(self._producer, client, form)
        finally:
            del channel._put
        [(queue, message)] = stored
        body, message["body"] = message["body"], BODY
        message["properties"]["delivery_tag"] = MARKERS["tag"]
        key = (channel.global_keyprefix or "") + channel._q_for_pri(
            queue, channel._get_message_priority(message, reverse=False)
        )
        return key, Stencil(dumps(message), channel.decode_body(body, message["properties"]["body_encoding"]).decode())
