"""Messages that are no callbacks, on their way to the worker's ordinary consumer.

A broker may take no messages for now, or none on that queue, and still give some: a RabbitMQ that is short of memory, a
Redis with a key of another kind in that place. What can't be passed on stays in hand then, and no outcome waits for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from bridge.bounds import HELD_MESSAGES
from bridge.collector.reader import Reader, without_old_ticks
from bridge.errors import BrokerRefuses
from bridge.trouble import Trouble

logger = logging.getLogger("bridge.collector")

AGAIN_SECONDS = 5.0  # until they are tried again: a try may take some seconds, and outcomes wait for it


class Onward:
    """What one collector has to pass on.

    Args:
        reader: The bridge's queue.

    Attributes:
        messages: Those that stay taken.
    """

    def __init__(self, reader: Reader[Any]) -> None:
        self._reader = reader
        self._again = 0.0  # time.monotonic()
        self._trouble = Trouble(logger, what="ticks are not passed on", over="ticks are passed on again")
        self.messages: list[Any] = []

    def is_due(self) -> bool:
        """Tell whether it is time to try again."""
        return bool(self.messages) and time.monotonic() >= self._again

    def pass_on(self, others: Sequence[Any]) -> None:
        """Pass on these, and what is left of others, if it is time.

        Raises:
            BrokerUnavailable: the broker is away, or takes nothing, and there are too many to keep.
        """
        self.messages += others
        if not self.is_due():
            return
        try:
            self._reader.pass_on(self.messages)
        except BrokerRefuses as error:
            self._again = time.monotonic() + AGAIN_SECONDS
            self._trouble.went(error)
            found = [(message, self._reader.read(message)) for message in self.messages]
            self.messages = [message for message, _ in without_old_ticks(found)]
            if len(self.messages) > HELD_MESSAGES:
                raise
        else:
            self.messages = []
            self._trouble.back()
