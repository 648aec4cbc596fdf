"""Publisher confirms, a batch at a time: publish all of it, then wait once until the broker has taken it all.

py-amqp's own `confirm_publish` waits one round trip for every message. The broker numbers what is published on a
channel in confirm mode; here we count with it, and tick off what it confirms, in whatever order.
"""

from __future__ import annotations

import time
from typing import Any

from bridge.errors import BrokerUnavailable

LEAST_SECONDS = 0.001  # with 0 the driver would spin where the broker stalls in the middle of an answer


class Confirms:
    """Knows what was published on a channel and not confirmed yet; one for the whole life of the channel.

    Args:
        channel: A fresh one, of py-amqp.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._publish = channel.basic_publish
        self._published = 0
        self._open: set[int] = set()
        self._refused = 0
        self._unroutable: set[str] = set()
        channel.confirm_select()
        channel.basic_publish = self._count  # whoever publishes here takes a number, Celery's own events included
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)

    def wait(self, seconds: float) -> set[str]:
        """Wait until everything that was published so far is confirmed.

        Returns:
            The queues that messages with `mandatory` were for, and that do not exist. The broker has dropped these.

        Raises:
            BrokerUnavailable: the broker refused some of it, the channel is still good.
            OSError, or one of the connection's errors: not everything was confirmed, close the connection.
        """
        deadline = time.monotonic() + seconds
        while self._open:
            if self._channel.connection is None:
                raise ConnectionError("the connection was closed before all messages were confirmed")
            try:
                self._channel.connection.drain_events(timeout=max(LEAST_SECONDS, deadline - time.monotonic()))
            except TimeoutError:
                raise TimeoutError(f"{len(self._open)} messages were not confirmed in {seconds:g} s") from None
        refused, self._refused = self._refused, 0
        unroutable, self._unroutable = self._unroutable, set()
        if refused:
            raise BrokerUnavailable(f"the broker refused messages ({refused} nacks): is the queue full?")
        return unroutable

    def _count(self, *args: Any, **kwargs: Any) -> Any:
        self._published += 1
        self._open.add(self._published)
        return self._publish(*args, **kwargs)

    def _on_ack(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._open = {number for number in self._open if number > tag}
        else:
            self._open.discard(tag)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._refused += 1
        self._on_ack(tag, multiple)

    def _on_return(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        self._unroutable.add(routing_key)  # the broker confirms it next, so that it counts as taken
