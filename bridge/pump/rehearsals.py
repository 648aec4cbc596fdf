"""Which passes are rehearsed before they send: those of clients one of whose passes Postgres has refused (G10).

What is refused may come up behind the messages of a pass, at its commit even: a deferred trigger of somebody's own, or
one on the client's row. Then the messages have gone out, nothing remembers it, and each next pass would send them
again. So the next passes of such a client are rehearsed, and the smaller the more often they were refused, until what
goes out is everything in front of what is refused.
"""

from __future__ import annotations

from bridge.errors import StoreRefused
from bridge.store.driver_errors import may_be_about_a_row


class Rehearsals:
    """The clients of one pump whose passes are rehearsed.

    Args:
        most: How many events a pass hands over otherwise.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limits: dict[str, int] = {}

    def limit(self, client: str) -> int | None:
        """Return how many events the next pass may hand over; None if it needs no rehearsal."""
        return self._limits.get(client)

    def refused(self, client: str, error: Exception) -> None:
        """Note that a pass, or its rehearsal, failed; an error of the broker's is none of Postgres'."""
        if isinstance(error, StoreRefused) or may_be_about_a_row(error):
            self._limits[client] = max(1, self._limits.get(client, 2 * self._most) // 2)

    def passed(self, client: str) -> None:
        """Note that a pass went well: the next may be larger, and after a whole one none needs a rehearsal any more."""
        if self._limits.get(client, 0) >= self._most:
            del self._limits[client]
        elif client in self._limits:
            self._limits[client] = min(self._most, 2 * self._limits[client])
