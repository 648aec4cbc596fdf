"""The guard: a bootstep that keeps what no worker can read from ending the bridge's own worker.

The collector reads each message before it passes it on, so this is for the messages that come to the worker in another
way: put on the queue of ticks by a stranger, or on the bridge's queue where the collector is off. What is broadcast to
all workers, as remote control or as an event, is for nobody to keep: what can't be read of it is only counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqp import Message
from celery import Celery, bootsteps
from redis import Redis

from bridge.app import bridge_of
from bridge.broker.fast_ways import GUARD
from bridge.broker.internals.connections import drop
from bridge.broker.internals.redis import connection_pool, key_prefix, shield_broadcasts
from bridge.broker.internals.redis_waits import watch_arrivals
from bridge.broker.internals.workers import shield_gossip, tag_queues
from bridge.broker.legible import Letter, why_illegible, why_illegible_envelope
from bridge.broker.tolerant import tolerate_properties
from bridge.collector.aside import few_lines, keep_on_amqp, keep_on_redis
from bridge.contract import ticks_queue, unreadable_queue
from bridge.trouble import Tally
from bridge.wording import counted, said

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker.consumer import Consumer

logger = logging.getLogger("bridge.collector")
_unread = Tally(logger)
_lines = few_lines()  # for messages come one by one here


class Guard(bootsteps.StartStopStep):
    """Runs in workers that consume the bridge's queue, on Redis and on RabbitMQ, and looks at no other queue."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Bridge guard"

    def include_if(self, parent: Consumer) -> bool:
        """Tell whether this is a bridge worker; events of other workers are guarded before it listens to them."""
        wanted = bridge_of(parent.app).is_served_here and GUARD.conforms()
        if wanted:
            shield_gossip(parent, _say_unread)
        return wanted

    def start(self, parent: Consumer) -> None:
        """Stand between the broker and the worker before the first message comes."""
        driver = parent.connection.transport.driver_type
        if driver == "redis":
            self._guard_redis(parent)
        elif driver == "amqp":
            self._guard_amqp(parent)

    def stop(self, parent: Consumer) -> None:
        """Leave; the next connection is guarded anew."""
        vars(parent).pop("create_task_handler", None)

    def _guard_redis(self, parent: Consumer) -> None:
        shield_broadcasts(parent.connection.transport, _say_unread)
        channel = parent.task_consumer.channel
        queue = bridge_of(parent.app).settings.queue
        ours = (queue, ticks_queue(queue))
        client = Redis(connection_pool=connection_pool(channel))
        kept = key_prefix(channel) + unreadable_queue(queue)

        def is_welcome(name: str, message: bytes) -> bool:
            why = why_illegible_envelope(parent.app, message) if name in ours else ""
            if why:
                keep_on_redis(client, kept, [message], why=f"no worker can read it: {why}", lines=_lines)
            return not why

        watch_arrivals(channel, is_welcome)

    def _guard_amqp(self, parent: Consumer) -> None:
        tolerate_properties()
        create: Callable[[], Callable[[Any], Any]] = parent.create_task_handler
        queue = bridge_of(parent.app).settings.queue
        ours = (queue, ticks_queue(queue))
        aside = _Aside(parent.app, unreadable_queue(queue))

        def guarded() -> Callable[[Any], Any]:
            handle = create()

            def receive(message: Any) -> Any:
                tag = message.delivery_info.get("consumer_tag")
                if tag_queues(parent.task_consumer).get(tag) not in ours:
                    return handle(message)
                found = Letter(
                    _bytes(message.body),
                    message.content_type,
                    message.content_encoding,
                    message.headers,
                    message.properties,
                )
                # kombu has decompressed the body already
                headers = {name: value for name, value in message.headers.items() if name != "compression"}
                if why := why_illegible(parent.app, found._replace(headers=headers)):
                    copy = Message(found.body, **{**message.properties, "application_headers": headers})
                    aside.keep(copy, why=f"no worker can read it: {why}")
                    return message.ack()
                return handle(message)

            return receive

        parent.create_task_handler = guarded


class _Aside:
    """Keeps messages on RabbitMQ, on a connection of its own that stays open: a flood of them has no time for more.

    Args:
        app: Its broker is used.
        queue: Where they are kept.
    """

    def __init__(self, app: Celery, queue: str) -> None:
        self._app, self._queue = app, queue
        self._connection: Any = None

    def keep(self, message: Message, *, why: str) -> None:
        """Keep one; a connection that has rested may be gone, and is made anew.

        Raises:
            One of the connection's errors: it is not kept.
        """
        rested, self._connection = self._connection, None
        if rested is not None:
            try:
                keep_on_amqp(rested, self._queue, [message], why=why, lines=_lines)
            except rested.connection_errors:
                drop(rested)
            else:
                self._connection = rested
                return
        fresh = self._app.connection_for_write()
        try:
            keep_on_amqp(fresh, self._queue, [message], why=why, lines=_lines)
        except BaseException:
            drop(fresh)
            raise
        self._connection = fresh


def _say_unread(error: BaseException) -> None:
    """Say, once a minute, that broadcasts can't be read."""

    def line(number: int) -> str:
        kind = ("broadcast to workers can't be read", "broadcasts to workers can't be read")
        return f"{counted(number, *kind)}: {type(error).__name__}: {said(error)}"

    _unread.note(1, line)


def _bytes(body: Any) -> bytes:
    """Return a body as bytes: py-amqp decodes one that names an encoding."""
    return body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body or b"")
