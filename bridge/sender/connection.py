"""A connection to the broker for sending: patient up to a limit, and, on RabbitMQ, with publisher confirms."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from celery import Celery
from kombu import Connection, Producer

from bridge.broker.confirms import Confirms, ConfirmsOneByOne
from bridge.broker.conformance import Differs
from bridge.broker.fast_ways import CONFIRMS
from bridge.broker.internals.connections import drop, is_virtual
from bridge.broker.internals.rabbitmq import try_confirms
from bridge.broker.queues import declare_as_it_is, own_queue
from bridge.broker.transports import bounded
from bridge.broker.unread import LOOK_SECONDS, Patience


class Connected(NamedTuple):
    """A producer on a connection of its own.

    Attributes:
        confirms: Knows when the broker has what was published; None where publishing returns no earlier than that.
    """

    producer: Producer
    confirms: Confirms | ConfirmsOneByOne | None


class Unread:
    """Keeps the connection that a RabbitMQ short of memory or disk has stopped to read, until it reads it again.

    It does not notice that we close such a connection. If each try made a new one, they would pile up there for as long
    as the alarm lasts. It is not kept for ever, see `Patience`.
    """

    def __init__(self) -> None:
        self._kept: tuple[Producer, Confirms] | None = None
        self._patience = Patience()
        self._pid = 0

    def keep(self, producer: Producer, confirms: Confirms) -> None:
        """Keep one whose first messages, which are nobody's, are not confirmed."""
        self._kept, self._pid = (producer, confirms), os.getpid()
        self._patience.begin()

    def take(self) -> tuple[Producer, Confirms] | None:
        """Return it, if the broker has read it by now; None if there is none, or if it is lost or given up.

        Raises:
            TimeoutError: not yet.
        """
        if self._kept is None or self._pid != os.getpid():  # a forked child has none of its own yet
            return None
        producer, confirms = self._kept
        try:
            confirms.wait(LOOK_SECONDS)  # a client's row is locked meanwhile
        except TimeoutError:
            if not self._patience.is_over():
                raise
            self.drop()
            return None
        except Exception:  # of whatever the driver says of a connection that is lost
            self.drop()
            return None
        self._kept = None
        return producer, confirms

    def end(self) -> None:
        """Note that the broker reads what is published."""
        self._patience.end()

    def drop(self) -> None:
        """Close our end."""
        kept, self._kept = self._kept, None
        if kept is not None and self._pid == os.getpid():
            drop(kept[0].connection)


def connect(
    app: Celery, *, queue: str, connect_timeout_seconds: float, answer_timeout_seconds: float, unread: Unread
) -> Connected:
    """Connect to an app's broker, and declare the bridge's own queue there.

    Raises:
        The errors of kombu and of the broker's driver; nothing is left open.
    """
    options: dict[str, Any] = bounded(
        app,
        socket_timeout=answer_timeout_seconds,
        socket_connect_timeout=connect_timeout_seconds,
        write_timeout=answer_timeout_seconds,  # RabbitMQ stops reading when it is short of memory or disk
    )
    if app.conf.broker_transport_options.get("confirm_publish"):  # a round trip per message; we wait once for all
        options["confirm_publish"] = False
    open_one = partial(_open, app, queue, connect_timeout_seconds)
    if app.connection_for_write().transport.driver_name != "py-amqp":
        return Connected(open_one(options), None)
    if CONFIRMS.conforms(try_confirms):
        producer, confirms = unread.take() or _confirming(open_one(options))
        try:
            if CONFIRMS.conforms(partial(_try_out, producer, confirms, answer_timeout_seconds)):
                unread.end()
                return Connected(producer, confirms)
        except TimeoutError:
            unread.keep(producer, confirms)
            raise
        except BaseException:
            drop(producer.connection)
            raise
        drop(producer.connection)
    each = ConfirmsOneByOne()
    options |= {"confirm_publish": True, "read_timeout": answer_timeout_seconds}
    producer = open_one(options, on_return=each.on_return)
    try:
        with suppress(Differs):  # this is the portable way already
            _try_out(producer, each, answer_timeout_seconds)
    except BaseException:
        drop(producer.connection)
        raise
    return Connected(producer, each)


def _confirming(producer: Producer) -> tuple[Producer, Confirms]:
    try:
        return producer, Confirms(producer.channel)
    except BaseException:
        drop(producer.connection)
        raise


def _open(
    app: Celery, queue: str, connect_timeout_seconds: float, options: dict[str, Any], **producing: Any
) -> Producer:
    connection: Connection = app.connection_for_write(
        transport_options=options, connect_timeout=connect_timeout_seconds
    )
    connection.ensure_connection(max_retries=1, timeout=connect_timeout_seconds, reraise_as_library_errors=True)
    try:
        producer = app.amqp.Producer(connection, auto_declare=False, **producing)
        # Fleets publish callbacks without declaring anything: where this queue is missing, RabbitMQ drops them.
        if is_virtual(connection.transport):
            own_queue(app, queue)(producer.channel).queue_declare()
        else:
            declare_as_it_is(connection, own_queue(app, queue))
    except BaseException:
        drop(connection)
        raise
    return producer


def _try_out(producer: Producer, confirms: Confirms | ConfirmsOneByOne, seconds: float) -> None:
    """Publish two messages to a queue that does not exist, and wait each time for the broker to say so.

    A RabbitMQ that is short of memory or disk takes the first message of each connection, and what follows it only when
    that is over, also from connections that are closed by then. So events that follow it would go out once for each
    time that they were tried.

    Raises:
        Differs: one was not counted, so no other would be waited for.
        OSError, or one of the connection's errors: the broker does not take any.
    """
    for _ in range(2):
        nowhere = f"bridge.trial.{uuid.uuid4().hex}"
        producer.publish(
            "", exchange="", routing_key=nowhere, mandatory=True, content_type="text/plain", content_encoding="utf-8"
        )
        if confirms.wait(seconds) != {nowhere}:
            raise Differs("a message that is published is not counted")
