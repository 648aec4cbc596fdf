"""The mark on RabbitMQ: the one message of a queue, which is consumed, and replaced before it is acknowledged.

Whoever has the message in hand is a consumer of the queue. So an empty queue with another consumer means that the mark
is held, and an empty queue without one has lost it. A holder that dies, or is cut off, can't put a new one: its channel
is gone, and the broker gives the message to the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Connection, Consumer, Producer, Queue

from bridge.broker.internals.connections import answered_within
from bridge.broker.marks.keeper import Keeper, MarkRefused, Taken
from bridge.broker.marks.redis import mark_key, read_seen
from bridge.mark import HELD, Mark

ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED = 403, 404, 406
ONE_MESSAGE = {"x-max-length": 1, "x-overflow": "drop-head"}
SOME_MESSAGES = {"x-max-length": 5, "x-overflow": "drop-head"}  # several pumps may note what they see
WAIT_SECONDS = 0.5  # for a message that is there, or that another process is about to put back


def seen_queue(queue: str) -> str:
    """Name the queue whose few messages say what the pumps have seen."""
    return f"{mark_key(queue)}.seen"


class AmqpKeeper(Keeper):
    """Keeps the mark on an AMQP broker."""

    @contextmanager
    def _take(self, connection: Connection) -> Iterator[Taken]:
        with answered_within(connection, 2 * self._connect_timeout_seconds):
            try:
                taken = TakenOnAmqp(connection, self._queue)
                yield taken
                if not taken.is_stuck:
                    taken.leave()
            except connection.channel_errors as error:
                if getattr(error, "reply_code", None) == ACCESS_REFUSED:
                    raise MarkRefused(str(error)) from error
                raise
        if taken.is_stuck:
            self.close(broken=True)

    def _must(self) -> dict[str, Any]:
        return {"confirm_publish": True}


class TakenOnAmqp(Taken):
    """A mark as it was read from RabbitMQ.

    Attributes:
        is_stuck: Whether the broker has not taken the new one in time: short of memory or disk it reads no more here.
    """

    def __init__(self, connection: Connection, queue: str) -> None:
        self._connection = connection
        self._name, self._seen_name = mark_key(queue), seen_queue(queue)
        self._channel: Any = connection.channel()
        self._messages: list[Any] = []
        self._consumer: Consumer | None = None
        self._seen: Any = None
        self.is_stuck = False
        self.mark = None
        if self._count(self._name) is None:
            return
        self._consume()
        marks = [mark for message in self._messages if (mark := Mark.from_json(message.body)) is not None]
        if marks:
            self.mark = max(marks, key=lambda mark: mark.count)
            self._take_seen()
        elif self._others():
            self.mark = HELD

    def put(self, mark: Mark, *, anew: bool = False) -> bool:
        """Put a new message behind the one that was read, which goes then."""
        if self.mark is HELD:
            return False
        self._declare()
        if anew:
            self._channel.queue_purge(self._seen_name)
        try:
            self._replace(mark.to_json())
        except TimeoutError:
            self.is_stuck = True
        return not self.is_stuck

    def leave(self) -> None:
        """Put back what was not replaced, as a new message: a quorum queue drops what comes back too often."""
        if self._messages:
            self._replace(max(self._messages, key=_count_of).body)
        elif self._consumer is not None:
            self._consumer.cancel()
        self._channel.close()  # gives back what came meanwhile

    def _consume(self) -> None:
        """Become the consumer of the queue, and wait for its message."""
        queue = Queue(self._name, exchange="", routing_key=self._name, no_declare=True)
        self._consumer = Consumer(
            self._channel, [queue], on_message=self._messages.append, auto_declare=False, prefetch_count=1
        )
        self._consumer.consume()  # one message: the new one must not come before the old one is acknowledged
        self._wait(WAIT_SECONDS)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._messages and (left := until - time.monotonic()) > 0:
            try:
                self._connection.drain_events(timeout=left)
            except TimeoutError:
                return

    def _others(self) -> bool:
        """Tell whether another consumer may have the message in hand; the broker's answer comes behind a delivery."""
        found = self._count(self._name)
        if found is None:
            return False
        _, consumers = found
        return consumers > 1

    def _count(self, name: str) -> tuple[int, int] | None:
        """Return how many messages and consumers a queue has; None if there is no such queue."""
        try:
            found = self._channel.queue_declare(name, passive=True)
        except self._connection.channel_errors as error:
            if getattr(error, "reply_code", None) != NOT_FOUND:
                raise
            self._channel, self._consumer = self._connection.channel(), None
            return None
        return found.message_count, found.consumer_count

    def _take_seen(self) -> None:
        """Fold in what the pump has seen since the mark was written."""
        with self._connection.channel() as channel:  # of its own: the broker closes it where there is no such queue
            try:
                while (message := channel.basic_get(self._seen_name, no_ack=False)) is not None:
                    if isinstance(self.mark, Mark):
                        self.mark = self.mark.with_seen(read_seen(_bytes(message.body)))
            except self._connection.channel_errors:
                return
            # leaving the channel gives them back

    def _declare(self) -> None:
        for name, arguments in ((self._name, ONE_MESSAGE), (self._seen_name, SOME_MESSAGES)):
            options = {"queue": name, "durable": True, "auto_delete": False, "arguments": arguments}
            channel = self._connection.channel()  # of its own: an error closes it
            try:
                channel.queue_declare(**options)
            except self._connection.channel_errors as error:
                if getattr(error, "reply_code", None) != PRECONDITION_FAILED:
                    raise
                if self._count(name) is None:  # else somebody has declared it in another way
                    raise MarkRefused(str(error)) from error
            else:
                channel.close()

    def _replace(self, text: str | bytes) -> None:
        """Put a message behind those in hand, and let these go.

        Where none is in hand, the new one comes to us as soon as it is there: to acknowledge it would lose the mark.
        """
        in_hand = len(self._messages)
        Producer(self._channel).publish(
            text,
            exchange="",
            routing_key=self._name,
            delivery_mode=2,
            content_type="application/json",
            content_encoding="utf-8",
        )
        if self._consumer is not None:  # before the old ones go: the new one is for the next
            self._consumer.cancel()
            self._consumer = None
        for message in self._messages[:in_hand]:
            message.ack()
        for message in self._messages[in_hand:]:
            message.requeue()
        self._messages = []


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body


def _count_of(message: Any) -> int:
    mark = Mark.from_json(message.body)
    return -1 if mark is None else mark.count
