"""Carry events to one client: which go together, what comes after a failure, and what waits for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Any

from celery import Celery

from bridge.bounds import HEADER_CHARACTERS
from bridge.errors import BridgeError
from bridge.model import Client, Delivery
from bridge.sender.parcels import task_for
from bridge.settings.headers import message_headers, travelling
from bridge.testing.handing import Delivered, hand_over
from bridge.tracing.context import trace_headers

MOST_ROUNDS = 100  # of handlers that publish again


def too_many_rounds() -> BridgeError:
    """Return the error for handlers that go on publishing without end."""
    return BridgeError(
        f"handlers have published again {MOST_ROUNDS:,} times in a row: does one publish what it is called with?"
    )


class Courier:
    """What one client has got in a test, and what waits for it.

    Args:
        client: Its settings.
        after: Offset after which its events begin.
    """

    def __init__(self, client: Client, *, after: int) -> None:
        self.client = client
        self.waiting: list[Delivery] = []
        self._passed = message_headers(client.headers).passed
        self._keys: dict[int, str | None] = {}
        self._upto = after
        self._held: set[str] = set()
        self._halted = False

    @property
    def binds(self) -> dict[str, Any]:
        """What `testing/bodies.sql` needs to find the client's next events."""
        client = self.client
        return {
            "after": self._upto,
            "topics": list(client.topics),
            "client": client.id,
            "call": client.call,
            "names": [*self._passed.values()],
            "most": HEADER_CHARACTERS,
        }

    @property
    def next_offset(self) -> int:
        """The offset of the event that comes next."""
        return self.waiting[0].offset

    def take(self, rows: Iterable[Any]) -> None:
        """Take the rows of `testing/bodies.sql`, for later."""
        for offset, topic, key, body, *trace, texts in rows:
            self._upto, self._keys[offset] = offset, key
            headers = travelling(self._passed, texts)
            self.waiting.append(
                Delivery(self.client, offset, 1, 1, topic, body, trace=trace_headers(trace), key=key, headers=headers)
            )

    def deliver(self, app: Celery, *, raise_errors: bool) -> list[Delivered]:
        """Hand the next message over, with one event or a batch, and say what became of it."""
        if self._is_stopped(self.waiting[0]):
            self.waiting.pop(0)
            return []
        parcel = self._parcel()
        last = parcel[0].attempt >= self.client.max_attempts
        try:
            hand_over(app, self.client, parcel)
        except Exception as error:
            self._put_back(parcel, parked=last and not raise_errors)
            if raise_errors:
                raise
            return [self._delivered(delivery, error, parked=last) for delivery in parcel]
        self._take_off(parcel)
        return [self._delivered(delivery) for delivery in parcel]

    def _parcel(self) -> Sequence[Delivery]:
        """Choose the events of the next message: one, or up to a batch of one task, each of another key."""
        head = self.waiting[0]
        most = 1 if self.client.ordering == "strict" or head.attempt > 1 else self.client.batch
        task, keys, chosen = task_for(self.client, head.topic), set[str](), list[Delivery]()
        for delivery in takewhile(lambda one: one.attempt == 1 or one is head, self.waiting):
            key = self._keys[delivery.offset] if self.client.ordering == "key" else None
            if len(chosen) == most or task_for(self.client, delivery.topic) != task or key in keys:
                break
            keys |= {key} if key is not None else set()
            chosen.append(delivery)
        return chosen

    def _take_off(self, parcel: Sequence[Delivery]) -> None:
        self.waiting = [delivery for delivery in self.waiting if delivery not in parcel]

    def _put_back(self, parcel: Sequence[Delivery], *, parked: bool) -> None:
        """Let failed events be the next attempts, each by itself; or set them aside, with what waits for them."""
        self._take_off(parcel)
        if not parked:
            self.waiting[:0] = [delivery._replace(attempt=delivery.attempt + 1) for delivery in parcel]
            return
        if self.client.on_exhausted == "halt":
            self._halted = True
        elif self.client.on_exhausted == "hold-key":
            self._held |= {key for delivery in parcel if (key := self._keys[delivery.offset]) is not None}

    def _is_stopped(self, delivery: Delivery) -> bool:
        """Tell whether an event waits for a parked one: the client is halted, or its key is held."""
        return self._halted or self._keys[delivery.offset] in self._held

    def _delivered(self, delivery: Delivery, error: BaseException | None = None, *, parked: bool = False) -> Delivered:
        return Delivered(
            client=self.client.id,
            offset=delivery.offset,
            topic=delivery.topic,
            key=self._keys[delivery.offset],
            attempts=delivery.attempt,
            error=error,
            parked=parked,
        )
