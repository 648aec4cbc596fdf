"""What a reader of the bridge's queue gives, whatever the broker: callbacks to settle, and messages that are none.

Postgres first, broker second: what is taken stays in the broker until it is `done`, so a collector that dies loses
nothing. Settling twice is harmless, losing one is not. Several collectors never hold the same message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

Message = TypeVar("Message")


class Callback(NamedTuple):
    """A message of the bridge's queue: the task it calls, and its positional arguments."""

    task: str
    args: Sequence[Any]


class Reader(Protocol[Message]):
    """The bridge's queue on one broker, as one collector sees it; each method may raise `BrokerUnavailable`."""

    def wait(self, seconds: float) -> list[Message]:
        """Take the next message as soon as there is one, or none after `seconds`."""

    def take(self, most: int) -> list[Message]:
        """Take up to `most` messages that are there."""

    def read(self, message: Message) -> Callback | None:
        """What a message calls; None if it is not one that a callback can be read from."""

    def pass_on(self, messages: Sequence[Message]) -> None:
        """Hand messages that are no callbacks to the worker's ordinary consumer, and keep what is no message at all."""

    def done(self) -> None:
        """Forget what was taken: it is settled."""

    def adopt(self) -> int:
        """Put back what dead collectors had taken, where the broker does not; how many were dead."""

    def close(self) -> None:
        """Put back what is not settled, and disconnect."""


def parse(content_type: object, headers: Mapping[str, Any], body: bytes) -> Callback | None:
    """The callback in a message of Celery's protocol 2 in JSON; None for any other message."""
    if content_type != "application/json":
        return None
    try:
        # bytes would be searched for their encoding, twice a message
        return Callback(headers["task"], json.loads(body.decode())[0])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
