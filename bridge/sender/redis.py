"""The Redis writer: messages are cut from a stencil and pushed many at a time, while the next are cut.

It serves where no one can tell the difference: json messages on a Redis broker, no receiver of Celery's publish
signals, no task-sent events, no compression.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kombu import Producer
from kombu.utils.json import dumps
from redis.exceptions import RedisError, ResponseError

from bridge.bounds import COMMAND_BYTES
from bridge.broker.conformance import Differs
from bridge.broker.fast_ways import REDIS_STENCIL
from bridge.broker.internals.redis import body_text, held_back, key_for, push_in_pieces, redis_connection
from bridge.errors import BrokerRefuses, Undeliverable
from bridge.model import Client, Delivery
from bridge.sender.cutter import Cutter, Rendered
from bridge.sender.pieces import Pieces
from bridge.sender.samples import SAMPLE_QUEUE
from bridge.sender.stencil import BODY, MARKERS
from bridge.tracing.listeners import only_trace, unrecorded
from bridge.wording import said

MESSAGES_PER_COMMAND = 100  # they stay in the processor's cache from cutting to sending


class RedisWriter(Cutter[str]):
    """Cuts whole messages and pushes them; their place is a Redis key."""

    fast_way = REDIS_STENCIL

    @staticmethod
    def serves(producer: Producer) -> bool:
        """Tell whether this is a Redis broker."""
        return bool(producer.connection.transport.driver_type == "redis")

    def send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        """Push these deliveries in order; return those that no message can be made of."""
        with self._pushing() as push:
            for key, message, _ in self.cut(client, deliveries):
                push(key, message)
        return []

    @contextmanager
    def _pushing(self) -> Iterator[Callable[[str, str | Pieces], None]]:
        """Push messages in chunks, and a large one by itself; on leaving, see that Redis took every one."""
        chunks: dict[str, list[str]] = {}
        pushed: list[tuple[str, int]] = []  # the list of each command, and how many messages it pushes
        room = COMMAND_BYTES  # of all chunks together
        beside, self.beside = self.beside, ()
        with redis_connection(self._producer.channel) as connection:
            if beside:
                connection.send_command(*beside)

            def flush(key: str) -> None:
                pushed.append((key, len(chunks[key])))
                connection.send_command("LPUSH", key, *chunks.pop(key))

            def push(key: str, message: str | Pieces) -> None:
                nonlocal room
                if isinstance(message, Pieces):
                    if key in chunks:  # they come first
                        flush(key)
                    push_in_pieces(connection, key, message)
                    pushed.append((key, 1))
                    return
                room -= len(message)
                if room < 0 and key in chunks:  # a command that is larger than any message might be too large
                    flush(key)
                    room = COMMAND_BYTES - len(message)
                chunk = chunks.setdefault(key, [])
                chunk.append(message)
                if len(chunk) == MESSAGES_PER_COMMAND:
                    flush(key)
                    room = COMMAND_BYTES

            yield push
            for key in list(chunks):
                flush(key)
            with suppress(ResponseError):  # the mark is no reason why a message should not go out
                if beside:
                    connection.read_response()
            _see_that_all_are_taken(connection, pushed)

    def _rendered(self, write: Callable[[Any], object], own: Mapping[str, str]) -> Rendered[str]:
        channel = self._producer.channel
        with held_back(channel) as kept, unrecorded():
            write(self._producer)
        if len(kept) != 1:
            raise Differs("kombu stores a message in another way")
        [(queue, message)] = kept
        body, message["body"] = message["body"], BODY
        message["headers"] = only_trace(message["headers"], own)
        message["properties"]["delivery_tag"] = MARKERS["tag"]
        return key_for(channel, queue, message), dumps(message), body_text(channel, body, message)

    def _opened(self, rendered: Rendered[str]) -> object:
        key, envelope, text = rendered
        message = json.loads(envelope)
        if message["body"] != BODY:
            text = body_text(self._producer.channel, message["body"], message)
        del message["properties"]["delivery_tag"]
        return key, {**message, "body": json.loads(text)}

    def _try_out(self) -> None:
        try:
            super()._try_out()
        except Exception:
            with suppress(RedisError, OSError):  # what kombu did not let us hold back is in no fleet's way
                self._producer.channel.queue_purge(SAMPLE_QUEUE)
            raise


def _see_that_all_are_taken(connection: Any, pushed: Sequence[tuple[str, int]]) -> None:
    """Read the answers to all commands.

    Raises:
        BrokerRefuses: Redis took some of them, and no more for now: it is full, for instance.
        RedisError, OSError: it took none, or it is not known which.
    """
    taken, nth, refused = list[int](), 0, None
    for _, number in pushed:
        try:
            connection.read_response()
            taken += range(nth, nth + number)
        except ResponseError as error:
            refused = refused or error
        nth += number
    if refused is None:
        return
    if taken and len({key for key, _ in pushed}) == 1:  # the messages are numbered in the order of one list
        raise BrokerRefuses(f"Redis takes no more messages: {said(refused)}", taken=frozenset(taken)) from refused
    raise refused
