"""The waiting room: messages whose outcomes another transaction holds up, `psql` with a client's row for example.

They stay taken, so the broker keeps them, and are tried again several times a second; nobody else's outcomes wait with
them. There are at most `HELD_MESSAGES`: more go back to the end of the queue, and so do those that have waited for
minutes, because RabbitMQ closes the channel of a consumer that keeps a message for half an hour.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from bridge.app import Bridge
from bridge.bounds import HELD_MESSAGES
from bridge.collector.reader import Reader
from bridge.collector.settling import Held, Left, settle_again
from bridge.errors import BrokerRefuses
from bridge.trouble import Trouble
from bridge.wording import counted

logger = logging.getLogger("bridge.collector")

AGAIN_SECONDS = 0.2  # until they are tried again
PATIENT_SECONDS = 0.2  # how long one of them may wait for its lock then: the passes of a busy pump end meanwhile
SAY_AFTER_SECONDS = 5.0
LONGEST_STAY_SECONDS = 300.0


class WaitingRoom:
    """The messages that one collector keeps aside.

    Args:
        bridge: The store.
        reader: Takes back those that there is no room for.

    Attributes:
        is_full: Whether the last ones had to go back to the queue, so that they will soon come again.
    """

    def __init__(self, bridge: Bridge, reader: Reader[Any]) -> None:
        self._bridge = bridge
        self._reader = reader
        self._held: list[Held] = []
        self._since: dict[str, float] = {}  # client -> time.monotonic()
        self._turns: dict[str, float] = {}  # client -> when it was last waited for
        self._again = 0.0
        self._trouble = Trouble(
            logger, what="outcomes of a client wait aside", over="the outcomes that waited aside are settled"
        )
        self.is_full = False

    @property
    def messages(self) -> list[Any]:
        """The messages that stay taken."""
        return [it.message for it in self._held]

    @property
    def clients(self) -> dict[str, Exception]:
        """The clients that are held, and why."""
        return {outcome.client: it.error for it in self._held for outcome in it.outcomes}

    def seconds_to_wait(self, most: float) -> float:
        """Return how long to wait for new messages."""
        return max(0.001, min(most, self._again - time.monotonic())) if self._held else most

    def is_due(self) -> bool:
        """Tell whether it is time to try again."""
        return bool(self._held) and time.monotonic() >= self._again

    def try_again(self) -> Left:
        """Try what is here again, if it is time; it returns what is left of it.

        Raises:
            Unavailable, SchemaError: nothing changed here.
        """
        if not self.is_due():
            return Left(held=self._held)
        # At once whatever can be had, then the longest held client with a little patience.
        left = settle_again(self._bridge, self._held, lock_seconds=0)
        if left.held:
            clients = {one.client for it in left.held for one in it.outcomes}
            first = min(clients, key=lambda client: self._turns.get(client, 0.0))
            self._turns[first] = time.monotonic()
            theirs = [it for it in left.held if any(one.client == first for one in it.outcomes)]
            others = [it for it in left.held if all(one.client != first for one in it.outcomes)]
            again = settle_again(self._bridge, theirs, lock_seconds=PATIENT_SECONDS)
            left = Left(held=[*again.held, *others], refused=[*left.refused, *again.refused])
        self._again = time.monotonic() + AGAIN_SECONDS
        return left

    def hold(self, held: Sequence[Held]) -> None:
        """Keep these, and nothing else; those that there is no room for go back to the queue."""
        now = time.monotonic()
        clients = {one.client for it in held for one in it.outcomes}
        self._since = {client: self._since.get(client, now) for client in clients}
        self._turns = {client: at for client, at in self._turns.items() if client in clients}
        overdue = {client for client, since in self._since.items() if now - since > LONGEST_STAY_SECONDS}
        stay = [it for it in held if all(one.client not in overdue for one in it.outcomes)]
        leave = [it for it in held if any(one.client in overdue for one in it.outcomes)]
        self._held, surplus = stay[:HELD_MESSAGES], [*stay[HELD_MESSAGES:], *leave]
        if surplus:
            try:
                self._reader.put_back([it.message for it in surplus])
            except BrokerRefuses:  # it takes nothing for now: they stay, and it gives no more than it lets us have
                self._held, overdue = list(held), set()
        self._since = {client: since for client, since in self._since.items() if client not in overdue}
        self.is_full = bool(surplus)
        self._say(now)

    def _say(self, now: float) -> None:
        """Leave a line in the log when a client has been held for some seconds."""
        long = [client for client, since in self._since.items() if now - since >= SAY_AFTER_SECONDS]
        if not long:
            if not self._since:
                self._trouble.back()
            return
        first, error = long[0], self.clients.get(long[0], "it is held")
        more = f", and {counted(len(long) - 1, 'more client')}" if len(long) > 1 else ""
        self._trouble.went(f"{error}{more}: see `eventbridge explain {first}`")
