"""Use the inside of kombu, Celery, py-amqp and redis-py. No other module touches names that these keep to themselves.

Every function here was seen to work with Celery 5.4 to 5.7, kombu 5.4 to 5.7, py-amqp 5.2 to 5.4 and redis-py 5.0 to
8.1; its docstring says if it holds for less than that. A function says what breaks without it. `conformance` looks at
these names before a fast way uses them; where one is missing, the portable way needs nothing of this module.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import amqp
import redis
from celery import Celery
from kombu.transport import virtual
from kombu.utils.json import dumps, loads

from bridge.broker.conformance import Differs

# redis-py up to 5.2 wants to know which command a connection is for.
_FOR_COMMAND = () if redis.VERSION >= (5, 3) else ("LPUSH",)

# Between a queue's name and a priority in the names of Redis lists: kombu's default, and the one of Celery's docs.
_SEPARATORS = ("\x06\x16", ":")


# Celery


def real_app(app: Celery) -> Celery:
    """Return the app itself where the caller has Celery's `current_app`, which is a proxy.

    Without it, the bridge of `current_app` and the bridge of its app would be two, with two connections each.
    """
    return app._get_current_object() if hasattr(app, "_get_current_object") else app


def event_loop(consumer: Any) -> Any:
    """Return the event loop of a worker; None where its pool or its broker works without one."""
    return getattr(consumer, "hub", None)


def exchange_queues(consumer: Any, *, leave: str, take: Any) -> None:
    """Let a worker that has not begun to consume leave one queue, named, and consume another one, a kombu `Queue`.

    Without it, the worker would compete with the collector for callbacks and run them one by one.
    """
    consumer.task_consumer.cancel_by_queue(leave)
    consumer.task_consumer.add_queue(take)


# Connections and channels of every transport


def drop(connection: Any) -> None:
    """Close our end of a kombu connection without a word to the broker.

    RabbitMQ may never answer a polite goodbye on a broken connection, and a transaction may be waiting.
    """
    if hasattr(connection, "collect"):
        connection.collect()
    else:
        connection.release()


def is_virtual(channel_or_transport: Any) -> bool:
    """Tell whether kombu itself plays the broker here, as it does on Redis, SQS and in memory."""
    return isinstance(channel_or_transport, virtual.Channel | virtual.Transport)


def number_messages(channel: Any) -> None:
    """Give the messages of a virtual channel delivery tags from a counter behind one random number.

    kombu asks the system for a random number per message, and each time the thread that reads the next events gets in
    between. The tags from here are as unique. Without it, the kombu writer takes about twice as long.
    """
    drawn, numbers = uuid.uuid4().hex, itertools.count()
    channel._next_delivery_tag = lambda: f"{drawn}.{next(numbers)}"


# Redis: where messages are, and what they look like


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


def watch_arrivals(channel: Any, is_welcome: Callable[[str, bytes], bool]) -> None:
    """Show each message that a worker's Redis channel takes, before kombu opens it; one that is not welcome is gone.

    kombu opens it in the worker's event loop, where an error of any kind ends the worker.

    Args:
        channel: The channel that a worker consumes on.
        is_welcome: Gets the queue's name and the message as it is stored.
    """
    client = channel.client
    parse = client.parse_response

    def watched(connection: Any, command_name: str, **options: Any) -> Any:
        found = parse(connection, command_name, **options)
        if command_name == "BRPOP" and found:
            queue = bytes(found[0]).decode(errors="replace").rsplit(channel.sep, 1)[0]
            if not is_welcome(queue, bytes(found[1])):
                return None  # as if nothing had come
        return found

    client.parse_response = watched


# Redis: the bookkeeping of messages in a worker's hands


def set_bookkeeping(channel: Any, qos: Any) -> None:
    """Let this take the place of the channel's `QoS`, before the first message arrives."""
    channel._qos = qos


def retire(qos: Any) -> None:
    """Keep a `QoS` that was replaced from putting back messages when the process ends.

    It has none; but kombu would close its channel's bookkeeping a second time.
    """
    qos._on_collect.cancel()


def redis_client(channel: Any) -> Any:
    """Make a client on the channel's pool that puts the app's key prefix before each key, as kombu's own does."""
    return channel._create_client()


def record_of(message: Any) -> str:
    """Return what kombu stores of a message in a worker's hands: the message as it came, exchange and routing key."""
    where = message.delivery_info
    record: str = dumps([message._raw, where["exchange"], where["routing_key"]])
    return record


def in_hand(qos: Any, delivery_tag: str) -> Any:
    """Return the message with this tag that a worker has in its hands; None if it has none."""
    return qos._delivered.get(delivery_tag)


def try_bookkeeping(channel: Any) -> None:
    """Try out kombu's bookkeeping, without a word to Redis; raise any exception if it differs from what was seen."""
    kept, qos = channel.qos, virtual.QoS(channel, 1)
    retire(qos)
    properties = {"delivery_tag": "tried", "delivery_info": {"exchange": "", "routing_key": "tried"}}
    message = channel.Message({"headers": {}, "properties": properties}, channel=channel)
    qos.append(message, "tried")
    if in_hand(qos, "tried") is not message or qos.can_consume():
        raise Differs("a QoS does not hold the message that it was given")
    qos.ack("tried")
    if not qos.can_consume():
        raise Differs("a QoS does not let go of a message that is done")
    if loads(record_of(message))[1:] != ["", "tried"]:
        raise Differs("a message does not say where it came from")
    set_bookkeeping(channel, qos)
    try:
        if channel.qos is not qos:
            raise Differs("a channel does not take another QoS")
    finally:
        set_bookkeeping(channel, kept)


# RabbitMQ: py-amqp


def on_publish(channel: Any, count: Callable[[], object]) -> None:
    """Call this before each message that is published on a channel; Celery's own events are among them.

    The broker numbers all of them. Without it, one that was not counted would shift every number after it.
    """
    publish = channel.basic_publish

    def counted(*args: Any, **kwargs: Any) -> Any:
        count()
        return publish(*args, **kwargs)

    channel.basic_publish = counted


def ask_for_confirms(
    channel: Any,
    *,
    on_ack: Callable[[int, bool], None],
    on_nack: Callable[[int, bool], None],
    on_return: Callable[[Exception, str, str, Any], None],
) -> None:
    """Switch a channel to confirm mode, and hear the broker's answers."""
    channel.confirm_select()
    channel.events["basic_ack"].add(on_ack)
    channel.events["basic_nack"].add(on_nack)
    channel.events["basic_return"].add(on_return)


def can_be_published(message: Any) -> bool:
    """Tell whether py-amqp can write out a message's properties; not all that it reads can be written."""
    try:
        message._serialize_properties()
    except Exception:
        return False
    return True


def tag_queues(consumer: Any) -> dict[str, str]:
    """Return the queue of each consumer tag of a kombu consumer."""
    return {tag: queue for queue, tag in consumer._active_tags.items()}


def receive(channel: Any, seconds: float) -> bool:
    """Read from the broker once, and call what waits for it; return False if nothing came for `seconds`.

    Raises:
        ConnectionError: the connection was closed.
    """
    if channel.connection is None:
        raise ConnectionError("the connection is closed")
    try:
        channel.connection.drain_events(timeout=seconds)
    except TimeoutError:
        return False
    return True


@contextmanager
def answered_within(connection: Any, seconds: float) -> Iterator[None]:
    """Bound each wait for an answer on a kombu connection to RabbitMQ; other transports have bounds of their own.

    A broker that is frozen would hold the caller, and what the caller has locked.

    Raises:
        TimeoutError: no answer came; the connection is of no use any more.
    """
    transport: Any = getattr(connection.connection, "transport", None)
    if not hasattr(transport, "having_timeout"):
        yield
        return
    with transport.having_timeout(seconds):
        yield


def try_confirms() -> None:
    """Try out on a channel without a connection that answers can be heard; raise any exception if not."""
    channel = amqp.Channel(amqp.Connection("not-connected"), 1)
    channel.confirm_select = lambda: None
    ask_for_confirms(channel, on_ack=print, on_nack=print, on_return=print)
    on_publish(channel, print)


def keep_bytes(channel: Any) -> None:
    """Get the bodies of messages as bytes: a message that is passed on must be, byte for byte, the one that came."""
    channel.auto_decode = False
