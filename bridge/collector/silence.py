"""What Celery's own consumer waits for in a bridge worker, on a Redis that fell silent on the collector's connection.

The connections of both lead to the same server. If it has vanished, the consumer waits for nothing, and has to connect
anew. If it is only slow, or the network is, an answer that comes later must find the consumer there: a message that
Redis has taken from a queue for a connection which we have ended would be lost. So nothing is ended before the server
answers on a new connection, and still does not on the consumer's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.broker.internals.redis import POLLED_SECONDS
from bridge.broker.internals.redis_waits import end_waits, heard_at, is_polling, poll_seconds

if TYPE_CHECKING:  # publishers install the bridge, too, and need none of a worker's modules
    from celery.worker.consumer import Consumer


class Waits:
    """What the consumer of one worker waits for.

    Args:
        consumer: Its connection is the one that is ended; it may be another one each time.
        clock: Seconds, as `time.monotonic` counts them.
    """

    def __init__(self, consumer: Consumer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._consumer = consumer
        self._clock = clock
        self._is_suspect = False
        self._polls_since: float | None = None

    def suspect(self) -> None:
        """Note that the server has not answered the collector, which connects anew."""
        self._is_suspect, self._polls_since = True, None

    def look(self) -> None:
        """End the waits of a consumer that gets no answer, after the collector has got one."""
        if not self._is_suspect or self._consumer.connection is None:
            return
        transport = self._consumer.connection.transport
        now = self._clock()
        if self._polls_since is None or not is_polling(transport):
            self._polls_since = now
        elif heard_at(transport) > self._polls_since:
            self._is_suspect = False
        elif now - self._polls_since > POLLED_SECONDS + poll_seconds(transport):
            self._is_suspect = False
            end_waits(transport)
