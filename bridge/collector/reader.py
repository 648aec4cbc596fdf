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

Message = TypeVar("Message")


class TaskMessage(NamedTuple):
    """A message of the bridge's queue, a callback or a tick: the task that it calls, and its positional arguments."""

    task: str
    args: Sequence[Any]


class Reader(ABC, Generic[Message]):
    """The bridge's queue on one broker, as one collector sees it; each method may raise `BrokerUnavailable`.

    Attributes:
        fast_way: The names that it borrows.
    """

    fast_way: ClassVar[FastWay]

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
        """Take up to `most` messages that are there."""

    @abstractmethod
    def read(self, message: Message) -> TaskMessage | None:
        """Return what a message calls; None if it is no message of Celery's in JSON."""

    @abstractmethod
    def pass_on(self, messages: Sequence[Message]) -> None:
        """Hand messages that are no callbacks to the worker's ordinary consumer, and keep what is no message at all."""

    @abstractmethod
    def done(self) -> None:
        """Let the broker forget what was taken: it is settled."""

    @abstractmethod
    def adopt(self) -> int:
        """Put back what dead collectors had taken, where the broker does not; return how many were dead."""

    @abstractmethod
    def close(self) -> None:
        """Put back what is not settled, and disconnect."""


def parse(content_type: object, headers: Mapping[str, Any], body: bytes) -> TaskMessage | None:
    """Return what a message of Celery's in JSON calls, in either protocol; None for any other message."""
    if content_type != "application/json":
        return None
    try:
        # bytes would be searched for their encoding, twice a message
        content = json.loads(uncompressed(headers, body).decode())
        if isinstance(content, dict):  # protocol 1 has all of it in the body
            return TaskMessage(content["task"], content["args"])
        return TaskMessage(headers["task"], content[0])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
