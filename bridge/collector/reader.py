"""A reader of the bridge's queue, whatever the broker: it gives callbacks to settle, and messages that are none.

Postgres first, broker second: a message that is taken stays in the broker until it is `done`, so a collector that dies
loses nothing. Settling twice is harmless, losing one is not. Several collectors never hold the same message.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from celery import Celery

from bridge.broker.compressed import uncompressed
from bridge.broker.conformance import FastWay
from bridge.contract import FAIL, PUMP, REASON, SETTLE, TRACES_HEADER
from bridge.tracing.context import TRACEPARENT

Message = TypeVar("Message")


class TaskMessage(NamedTuple):
    """A message of the bridge's queue, a callback or a tick: the task that it calls, and its positional arguments."""

    task: str
    args: Sequence[Any]


class TracedMessage(TaskMessage):
    """One with a trace header; of many callbacks, with those of the tasks that they are about, by their ids.

    Attributes:
        trace: What the header holds; it comes from outside.
    """

    trace: Any

    @classmethod
    def of(cls, message: TaskMessage, trace: Any) -> TracedMessage:
        """Make one of a message."""
        traced = cls(*message)
        traced.trace = trace
        return traced


class Reader(ABC, Generic[Message]):
    """The bridge's queue on one broker, as one collector sees it; each method may raise `BrokerUnavailable`.

    Attributes:
        fast_way: The names that it borrows.
        left_some: Whether the last `take` left messages because those that it took were large.
    """

    fast_way: ClassVar[FastWay]
    left_some = False

    @abstractmethod
    def __init__(self, app: Celery, *, queue: str, others: str) -> None:
        """Connect to the app's broker and read `queue`; messages that are no callbacks go to `others`."""

    @staticmethod
    def try_out() -> None:
        """Try out, without a broker, what names do not tell; raise any exception if it differs from what was seen."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Message]:
        """Take the next message as soon as there is one, or none after `seconds`."""

    @abstractmethod
    def take(self, most: int) -> list[Message]:
        """Take up to `most` messages that are there, and not many more than `TAKEN_BYTES` of them."""

    @abstractmethod
    def read(self, message: Message) -> TaskMessage | None:
        """Return what a message calls; None if it is no message of Celery's in JSON; it never raises."""

    def pass_on(self, messages: Sequence[Message]) -> None:
        """Hand messages that are no callbacks to the worker's ordinary consumer, once they are known not to end it.

        What the worker can't read, or would refuse and throw away, is set aside. Of ticks that have piled up only the
        last one goes on, and what only calls itself a tick does not count among them.
        """
        unread = [(message, why) for message in messages if (why := self.why_illegible(message))]
        ids = {id(message) for message, _ in unread}
        legible = [(message, self.read(message)) for message in messages if id(message) not in ids]
        if legible:
            self.forward([message for message, _ in without_old_ticks(legible)])
        if unread:
            self.set_aside([message for message, _ in unread], why=f"no worker can read it: {unread[0][1]}")

    @abstractmethod
    def why_illegible(self, message: Message) -> str:
        """Say why a worker can't read a message; an empty string if it can."""

    @abstractmethod
    def forward(self, messages: Sequence[Message]) -> None:
        """Hand messages to the worker's ordinary consumer; return when the broker has them."""

    @abstractmethod
    def set_aside(self, messages: Sequence[Message], *, why: str) -> None:
        """Keep messages on a bounded queue of their own, for people to look at; the log says `why`."""

    @abstractmethod
    def done(self, keep: Sequence[Message] = ()) -> None:
        """Let the broker forget what was taken, but for these messages, which stay taken."""

    @abstractmethod
    def put_back(self, messages: Sequence[Message]) -> None:
        """Put messages that were taken behind all others of the queue; the broker has them twice until `done`."""

    @abstractmethod
    def show_life(self) -> None:
        """Show the broker, and other collectors, that what was taken is in good hands; take nothing."""

    @abstractmethod
    def adopt(self) -> int:
        """Put back what dead collectors had taken, where the broker does not; return how many were dead."""

    @abstractmethod
    def close(self) -> None:
        """Put back what is not settled, and disconnect."""


def without_old_ticks(found: Sequence[tuple[Any, TaskMessage | None]]) -> list[tuple[Any, TaskMessage | None]]:
    """Leave out all ticks of the pump but the last one, which does what all of them would; the order of the rest stays.

    Messages have no time that could be trusted: beat's clock may be an hour behind the worker's. Their order is enough.
    One of a worker that has just begun counts as later than those of beat: it takes the turn of a tick that died.
    """
    ticks = [(bool(call.args), nth) for nth, (_, call) in enumerate(found) if call and call.task == PUMP]
    last = max(ticks)[1] if ticks else None
    return [each for nth, each in enumerate(found) if nth == last or not each[1] or each[1].task != PUMP]


def parse(content_type: object, headers: Mapping[str, Any], body: bytes) -> TaskMessage | None:
    """Return what a message of Celery's in JSON calls, in either protocol; None for any other message.

    A failure's callback that tells why is returned as one of many callbacks, which can have a reason beside them.
    """
    if content_type != "application/json":
        return None
    try:
        # bytes would be searched for their encoding, twice a message
        content = json.loads(uncompressed(headers, body).decode())
        if isinstance(content, dict):  # protocol 1 has all of it in the body
            return TaskMessage(content["task"], content["args"])
        call = TaskMessage(headers["task"], content[0])
        if call.task == FAIL and len(content) > 1 and isinstance(content[1], dict) and REASON in content[1]:
            call = TaskMessage(SETTLE, [[[FAIL, call.args, content[1][REASON]]]])
        trace = headers.get(TRACES_HEADER) or headers.get(TRACEPARENT)
        return TracedMessage.of(call, trace) if trace else call
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None
