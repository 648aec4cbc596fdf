"""Publisher confirms: what was published counts as sent when RabbitMQ has said that it has it.

`Confirms` publishes a whole batch, then waits once. py-amqp's own `confirm_publish` waits one round trip for every
message; `ConfirmsOneByOne` uses it where py-amqp's inside is not as we know it.
"""

from __future__ import annotations

import time
from typing import Any

from bridge.broker.internals.rabbitmq import ask_for_confirms, on_publish, receive
from bridge.errors import BrokerRefuses

FULL = "the broker refuses messages (basic.nack): is the queue full?"
LEAST_SECONDS = 0.001  # with 0 the driver would spin where the broker stalls in the middle of an answer


class Confirms:
    """Count what is published on a channel, and tick off what the broker confirms, in whatever order.

    The broker numbers the messages of a channel in confirm mode, so there is one of these for the channel's whole life.

    Args:
        channel: A fresh one, of py-amqp.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._published = 0
        self._waited = 0  # for the answers to all up to this one
        self._open: set[int] = set()
        self._refused: set[int] = set()  # kept until all of a wait were taken: `taken_since` is asked after it
        self._beside: set[int] = set()  # likewise; what went to an exchange: events of Celery's, and none of ours
        self._unroutable: set[str] = set()
        ask_for_confirms(channel, on_ack=self._on_ack, on_nack=self._on_nack, on_return=self._on_return)
        on_publish(channel, self._count, self._uncount)

    def wait(self, seconds: float) -> set[str]:
        """Wait until everything that was published so far is confirmed.

        Returns:
            The queues that messages with `mandatory` were for, and that do not exist. The broker has dropped these;
            then it is not said whether it has refused others.

        Raises:
            BrokerRefuses: the broker refused some of it, the channel is still good; `taken_since` says what it has.
            OSError, or one of the connection's errors: not everything was confirmed, close the connection.
        """
        deadline = time.monotonic() + seconds
        while self._open:
            if not receive(self._channel, max(LEAST_SECONDS, deadline - time.monotonic())):
                raise TimeoutError(f"{len(self._open)} messages were not confirmed in {seconds:g} s")
        before, self._waited = self._waited, self._published
        unroutable, self._unroutable = self._unroutable, set()
        if not unroutable and any(number > before for number in self._refused):  # what was dropped is not taken
            raise BrokerRefuses(FULL)
        self._refused.clear()
        self._beside.clear()
        return unroutable

    @property
    def published(self) -> int:
        """How many messages were published on this channel."""
        return self._published

    def taken_since(self, before: int) -> frozenset[int]:
        """Return which messages to queues the broker has of those that were published after so many, from 0 on."""
        ours = [number for number in range(before + 1, self._published + 1) if number not in self._beside]
        missing = self._open | self._refused
        return frozenset(nth for nth, number in enumerate(ours) if number not in missing)

    def _count(self, exchange: str) -> None:
        self._published += 1
        self._open.add(self._published)
        if exchange:
            self._beside.add(self._published)

    def _uncount(self) -> None:
        self._open.discard(self._published)
        self._beside.discard(self._published)
        self._published -= 1

    def _on_ack(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._open = {number for number in self._open if number > tag}
        else:
            self._open.discard(tag)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused |= {number for number in self._open if number <= tag} if multiple else {tag}
        self._on_ack(tag, multiple)

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        self._unroutable.add(routing_key)  # the broker confirms it next, so that it counts as taken


class ConfirmsOneByOne:
    """Remember which queues were missing; py-amqp itself waits for the broker's word on each message.

    Its connection has `CONFIRM_EACH` among its transport options, its producer calls `on_return`.
    """

    published = 0  # it does not count

    def __init__(self) -> None:
        self._unroutable: set[str] = set()

    def taken_since(self, before: int) -> frozenset[int]:
        """Return nothing: which messages were confirmed is not known here."""
        return frozenset()

    def wait(self, seconds: float) -> set[str]:
        """Return the queues that messages with `mandatory` were for, and that do not exist; nothing is waited for."""
        unroutable, self._unroutable = self._unroutable, set()
        return unroutable

    def on_return(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        """Note a message that the broker gives back; it confirms it next."""
        self._unroutable.add(routing_key)
