"""The interface of the three writers: each makes messages of deliveries and gives them to the broker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from amqp.exceptions import MessageNacked
from celery import Celery
from kombu import Producer
from redis.exceptions import ResponseError

from bridge.broker.confirms import FULL
from bridge.broker.pipelined import pipelined
from bridge.errors import BrokerRefuses, Unsent
from bridge.model import Client, Delivery
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

    def _publish_each(self, messages: Iterable[Message], number: int, publish: Callable[[Message], object]) -> None:
        """Let kombu publish messages in order, together where it can.

        Raises:
            BrokerRefuses: the broker took those before one, and refused that one.
        """
        held_back, nth = False, 0
        try:
            with pipelined(self._producer, number, wanted=self.together) as held_back:
                for nth, message in enumerate(messages):  # noqa: B007 - how many are published already
                    publish(message)
        except ResponseError as error:
            if held_back or not nth:
                raise
            raise BrokerRefuses(f"Redis takes no more messages: {said(error)}", taken=frozenset(range(nth))) from error
        except MessageNacked as error:  # where each message is confirmed by itself
            raise BrokerRefuses(FULL, taken=frozenset(range(nth))) from error
