"""Borrow from kombu's channels on Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Protocol

import redis

from bridge.bounds import COMMAND_BYTES
from bridge.broker.internals.workers import shielded

# redis-py up to 5.2 wants to know which command a connection is for.
_FOR_COMMAND = () if redis.VERSION >= (5, 3) else ("LPUSH",)

# Between a queue's name and a priority in the names of Redis lists: kombu's default, and the one of Celery's docs.
_SEPARATORS = ("\x06\x16", ":")

POLLED_SECONDS = 5.0  # kombu's consumers poll once a second, unless they are full


def key_prefix(channel: Any) -> str:
    """Return what every key of this Redis channel begins with: the transport option `global_keyprefix`."""
    return channel.global_keyprefix or ""


def default_key(channel: Any, queue: str) -> str:
    """Return the Redis list of a queue that takes messages without a priority."""
    key: str = key_prefix(channel) + channel._q_for_pri(queue, 0)
    return key


def queue_keys(channel: Any, queue: str) -> list[str]:
    """Return the Redis lists on which messages for a queue may be, that of messages without a priority first.

    A fleet that publishes to the queue may have other `priority_steps` and another `sep` than this app. What it put on
    a list that is not in here would never be read.
    """
    own = [channel._q_for_pri(queue, step) for step in channel.priority_steps]
    any_fleet_s = [f"{queue}{separator}{step}" for separator in _SEPARATORS for step in range(10)]
    keys = (key_prefix(channel) + key for key in (queue, *own, *any_fleet_s))
    return list(dict.fromkeys([default_key(channel, queue), *keys]))


def longest_block_seconds(channel: Any) -> float:
    """Return how long a command may block on this channel: the app's `socket_timeout` would take it for a failure."""
    return channel.socket_timeout / 2 if channel.socket_timeout else float("inf")


def key_for(channel: Any, queue: str, message: dict[str, Any]) -> str:
    """Return the Redis list to which kombu would push this message for this queue."""
    priority = channel._get_message_priority(message, reverse=False)
    key: str = key_prefix(channel) + channel._q_for_pri(queue, priority)
    return key


def is_full(error: redis.ResponseError) -> bool:
    """Tell whether Redis has refused a command because it is out of memory; older drivers have no class for that."""
    return type(error).__name__ == "OutOfMemoryError" or str(error).startswith("OOM ")


def connection_pool(channel: Any) -> Any:
    """Return the redis-py pool of a channel, with the app's TLS, password and time-outs.

    Without it, the bridge would need its own reading of broker URLs, and Sentinel would be out of reach.
    """
    return channel.pool


@contextmanager
def redis_connection(channel: Any) -> Iterator[Any]:
    """Lend a connection of the channel's pool, for `send_command` and `read_response`; an error closes it.

    Answers that were not read would be taken for those of the next command.
    """
    pool = connection_pool(channel)
    connection = pool.get_connection(*_FOR_COMMAND)
    try:
        yield connection
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


class Long(Protocol):
    """A text that comes in pieces; how long it is, is known before."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes | bytearray]: ...


def push_in_pieces(connection: Any, key: str, message: Long) -> None:
    """Send LPUSH with a long message, on a connection that was lent; its answer is still to be read.

    redis-py would put all of the command together before it sends any of it.
    """
    begin = b"*3\r\n$5\r\nLPUSH\r\n$%d\r\n%b\r\n$%d\r\n" % (len(key.encode()), key.encode(), len(message))
    connection.send_packed_command(chain([begin], message, [b"\r\n"]))


@contextmanager
def held_back(channel: Any) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Keep what is published on this Redis channel meanwhile: pairs of queue and message, as kombu would store them.

    The stencil is cut from such a message. Without it, kombu's envelope would have to be written by hand.
    """
    kept: list[tuple[str, dict[str, Any]]] = []
    channel._put = lambda queue, message, **_: kept.append((queue, message))
    try:
        yield kept
    finally:
        del channel._put


def body_text(channel: Any, body: str, message: dict[str, Any]) -> str:
    """Return the body of a stored message as the text that the task's serializer made."""
    text: str = channel.decode_body(body, message["properties"]["body_encoding"]).decode()
    return text


def shield_broadcasts(transport: Any, say: Callable[[BaseException], object]) -> None:
    """Let a worker outlive whatever anybody broadcasts on its Redis, to it (remote control) or to all (events).

    kombu opens it in the worker's event loop, where an error of any kind ends the worker.

    Args:
        transport: Of the worker's connection; its channels come and go.
        say: Hears of each that can't be read.
    """
    create = transport.create_channel

    def shield(channel: Any) -> Any:
        if "_receive_one" not in vars(channel):
            channel._receive_one = shielded(channel._receive_one, say)
        return channel

    for channel in transport.channels:
        shield(channel)
    transport.create_channel = lambda connection: shield(create(connection))


def redis_client(channel: Any) -> Any:
    """Make a client on the channel's pool that puts the app's key prefix before each key, as kombu's own does."""
    return channel._create_client()


class _CountedPublishing:
    """A Redis client that remembers how many subscribers each of its messages had."""

    def __init__(self, client: Any, counts: list[int]) -> None:
        self._client, self._counts = client, counts

    def publish(self, *args: Any, **options: Any) -> Any:
        found = self._client.publish(*args, **options)
        self._counts.append(int(found))
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@contextmanager
def listeners_counted(channel: Any) -> Iterator[list[int]]:
    """Count who hears what is broadcast on this Redis channel meanwhile; nothing is counted where kombu differs.

    A worker that is too busy to answer still listens. Without the count, its silence would be taken for its absence.
    """
    counts: list[int] = []
    acquire = channel.conn_or_acquire

    @contextmanager
    def counting(client: Any = None) -> Iterator[Any]:
        with acquire(client) as found:
            yield _CountedPublishing(found, counts)

    channel.conn_or_acquire = counting
    try:
        yield counts
    finally:
        del channel.conn_or_acquire


def unacked_messages(channel: Any, most: int) -> Iterator[bytes] | None:
    """Return the messages that workers took from Redis and have not acknowledged; None if they are more than `most`.

    They are fetched as they are asked for, a bounded number of bytes at a time: each may be large.
    """
    client = redis.Redis(connection_pool=connection_pool(channel))
    key = key_prefix(channel) + channel.unacked_key
    if int(client.hlen(key)) > most:
        return None
    tags: Any = client.hkeys(key)
    with client.pipeline(transaction=False) as pipeline:
        for tag in tags:
            pipeline.hstrlen(key, tag)
        lengths = pipeline.execute()
    return _values(client, key, zip(tags, lengths, strict=True))


def _values(client: redis.Redis, key: str, sizes: Iterable[tuple[bytes, int]]) -> Iterator[bytes]:
    """Yield the values of a hash that are still there."""
    some, left = list[bytes](), COMMAND_BYTES
    for tag, length in (*sizes, (b"", COMMAND_BYTES + 1)):  # the last one ends what is under way
        if some and length > left:
            found: Any = client.hmget(key, some)
            yield from filter(None, found)
            some, left = [], COMMAND_BYTES
        some.append(tag)
        left -= length


def polling_clients(channel: Any) -> int:
    """Return how many clients of this Redis database have polled queues lately, as each of kombu's consumers does."""
    client = redis.Redis(connection_pool=connection_pool(channel))
    database = str(connection_pool(channel).connection_kwargs.get("db", 0))
    found: Any = client.client_list()
    return sum(
        one["cmd"] == "brpop" and one["db"] == database and float(one["idle"]) <= POLLED_SECONDS for one in found
    )
