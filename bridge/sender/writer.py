"""The interface of the three writers: each makes messages of deliveries and gives them to the broker."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from celery import Celery
from kombu import Producer

from bridge.errors import Undeliverable
from bridge.model import Client, Delivery


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

    @abstractmethod
    def send(self, client: Client, deliveries: Sequence[Delivery]) -> list[Undeliverable]:
        """Publish these deliveries in order; return those that no message can be made of."""
