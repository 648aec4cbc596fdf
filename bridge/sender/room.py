"""What of one call is worth a try, after the broker has refused some of it, or has taken long for the rest.

A broker without room for a large message may have room for the small ones behind it, and these must not wait for ever.
Where it refuses a small one, it is full. Postgres hears nothing while messages go out, and ends a transaction that is
idle for 20 seconds, so on a slow way to the broker some of them are left to the next pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bridge.bounds import ORDINARY_BYTES
from bridge.errors import BrokerRefuses, NotTaken, Unsent
from bridge.model import Client, Delivery
from bridge.sender.halving import Send
from bridge.sender.portions import size_of

CALL_SECONDS = 5.0  # for the messages of one call: after them nothing more is begun
SLOW = "the broker has taken {taken:,} events in {seconds:.0f} s: the rest is sent with the next pass"


class Room:
    """What is known of the broker's room during one call.

    Args:
        number: How many deliveries are to be sent.
        clock: Seconds, from any moment.
    """

    def __init__(self, number: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._number = number
        self._clock = clock
        self._began = clock()
        self._bytes = float("inf")  # of a message: one of so many was refused
        self._why = ""
        self._taken = self._not_taken = 0
        self._refused: BrokerRefuses | None = None

    def refusal(self, portion: Sequence[Delivery]) -> list[Unsent]:
        """Return a portion as not taken, if it is not worth a try; else nothing."""
        why = self._why if self._why and size_of(portion) >= self._bytes else ""
        if not why and self._taken and (seconds := self._clock() - self._began) > CALL_SECONDS:
            why = SLOW.format(taken=self._taken, seconds=seconds)
        self._not_taken += len(portion) if why else 0
        return [NotTaken(it.offset, why) for it in portion] if why else []

    def around(self, send: Send) -> Send:
        """Let it be no error that the broker takes nothing of some messages: of others before them it may have."""

        def sent(some: Sequence[Delivery]) -> list[Unsent]:
            try:
                return send(some)
            except BrokerRefuses as error:
                self._refused = error
                return [NotTaken(it.offset, str(error)) for it in some]

        return sent

    def note(self, client: Client, portion: Sequence[Delivery], unsent: Sequence[Unsent]) -> None:
        """Note what became of a portion."""
        not_taken = [it for it in unsent if isinstance(it, NotTaken)]
        self._taken += len(portion) - len(unsent)
        self._not_taken += len(not_taken)
        if not_taken:
            size = size_of(portion) if len(portion) <= client.batch else 0  # if it is one message
            self._bytes = min(self._bytes, size) if size > ORDINARY_BYTES else 0
            self._why = self._why or str(not_taken[0])

    def raise_if_none(self) -> None:
        """Raise what the broker said, where it has taken nothing at all."""
        if self._refused is not None and self._not_taken == self._number:
            raise self._refused
