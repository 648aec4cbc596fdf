"""The interface of the three writers: each makes messages of deliveries and gives them to the broker."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from amqp.exceptions import MessageNacked
from celery import Celery
from kombu import Producer
from redis.exceptions import ResponseError

from bridge.broker.confirms import FULL
from bridge.broker.pipelined import pipelined
from bridge.errors import BrokerRefuses, NotTaken, Unsent
from bridge.model import Client, Delivery
from bridge.sender.room import CALL_SECONDS
from bridge.sender.slow import Slow
from bridge.wording import said

Message = TypeVar("Message")


class Writer(ABC):
    """Makes messages of deliveries and gives them to the broker; one per connection.

    Args:
        app: Its protocol, its configuration and its signals apply.
        producer: Publishes.
        queue: The bridge's own queue, where callbacks go.
        secret: Signs callbacks.
        shows: Whether messages show the beginning of their arguments to Flower and logs.
    """

    def __init__(self, app: Celery, producer: Producer, *, queue: str, secret: str, shows: bool = True) -> None:
        self._app = app
        self._producer = producer
        self._queue = queue
        self._secret = secret
        self._shows = shows
        self.beside: tuple[str, ...] = ()  # a command of Redis that goes out once, before the next messages
        self.together = True  # whether kombu may send messages together
        self.slow = Slow()

    @abstractmethod
    def send(self, client: Client, deliveries: Sequence[Delivery]) -> Sequence[Unsent]:
        """Publish these deliveries in order; return those that no message can be made of, or none in time."""

    def _publish_each(self, messages: Iterable[Message], number: int, publish: Callable[[Message], object]) -> int:
        """Let kombu publish messages in order, together where it can; return for how many there was time.

        Nothing is said to Postgres meanwhile, which ends a transaction that is idle for too long.

        Raises:
            BrokerRefuses: the broker took those before one, and refused that one.
        """
        held_back, nth, until = False, 0, time.monotonic() + CALL_SECONDS
        try:
            with pipelined(self._producer, number, wanted=self.together) as held_back:
                for nth, message in enumerate(messages):
                    if nth and time.monotonic() > until:
                        return nth
                    publish(message)
        except ResponseError as error:
            if held_back or not nth:
                raise
            raise BrokerRefuses(f"Redis takes no more messages: {said(error)}", taken=frozenset(range(nth))) from error
        except MessageNacked as error:  # where each message is confirmed by itself
            raise BrokerRefuses(FULL, taken=frozenset(range(nth))) from error
        return number


def left_for_later(parcels: Sequence[Sequence[Delivery]], published: int) -> list[Unsent]:
    """Return the events of the messages for which there was no time."""
    why = f"{published:,} of {len(parcels):,} messages take {CALL_SECONDS:g} s: the rest is next"
    return [NotTaken(it.offset, why) for parcel in parcels[published:] for it in parcel]
