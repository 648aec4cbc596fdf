"""Remember events of which a message takes so long to make that Postgres ends the pass before it is sent.

The pass is over then, and would be tried again for as long as the event is there, while all other clients wait. So the
next one sends the events of such a batch one by one, and refuses a single one that takes so long.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.errors import Undeliverable
from bridge.model import Client, Delivery

LONGEST_SECONDS = 10.0  # of the processor's time for one message; Postgres ends a transaction that is idle for 20 s
MOST_REMEMBERED = 10_000


class Slow:
    """What this process remembers of messages that took long to make."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, int], float] = {}  # of each event; 0 of one that was not alone

    def note(self, client: Client, parcel: Sequence[Delivery], seconds: float) -> None:
        """Remember how much of the processor's time a message took, if that was too much."""
        if seconds < LONGEST_SECONDS:
            return
        if len(self._seconds) > MOST_REMEMBERED:
            self._seconds.clear()
        alone = len(parcel) == 1
        self._seconds |= {(client.id, it.offset): seconds if alone else 0.0 for it in parcel}

    def sort_out(
        self, client: Client, deliveries: Sequence[Delivery]
    ) -> tuple[Sequence[Delivery], list[Undeliverable]]:
        """Return what is worth a try, those that may be at fault each for a message of its own, and what is not."""
        if not self._seconds:
            return deliveries, []
        tried, refused = list[Delivery](), list[Undeliverable]()
        for it in deliveries:
            seconds = self._seconds.get((client.id, it.offset))
            if seconds:
                why = (
                    f"serializer {client.serializer!r} takes {seconds:.0f} s to write it: at most {LONGEST_SECONDS:g} s"
                )
                refused.append(Undeliverable(it.offset, why))
            else:
                tried.append(it if seconds is None else it._replace(part=it.offset))
        return tried, refused
