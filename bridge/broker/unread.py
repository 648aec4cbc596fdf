"""How long a connection is kept that RabbitMQ does not read, because it is short of memory or disk.

It does not notice that we close such a connection. If each try made a new one, they would pile up there for as long as
the alarm lasts. A broker that has vanished without a word, behind a proxy say, does not read it either, and never will.
So it is kept, though not for ever.
"""

from __future__ import annotations

import time

LOOK_SECONDS = 0.2  # what the broker has answered is here by then
PATIENT_SECONDS, LONGEST_SECONDS = 60.0, 600.0
SHORT = "the broker takes no messages: is it short of memory or disk?"


class Patience:
    """A minute for the first connection that is not read, and twice as long for each one after it, up to ten."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._until = 0.0  # time.monotonic()

    def begin(self) -> None:
        """Note that a new connection is not read."""
        self._seconds = min(max(PATIENT_SECONDS, 2 * self._seconds), LONGEST_SECONDS)
        self._until = time.monotonic() + self._seconds

    def is_over(self) -> bool:
        """Tell whether it was kept for long enough."""
        return time.monotonic() >= self._until

    def end(self) -> None:
        """Note that the broker reads what is published."""
        self._seconds = 0.0
