"""Send what can be sent: what the broker refuses is narrowed down until the event at fault is alone.

A refusal closes the channel, and with it goes all that was under way. So it is not enough to know that something was
refused: each message is tried by itself until the one at fault is found, and a batch is halved. The rest goes on as
before, and what the broker has confirmed is not sent again (decision 23).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.errors import Undeliverable
from bridge.model import Client, Delivery
from bridge.sender.parcels import pack

Send = Callable[[Sequence[Delivery]], list[Undeliverable]]


class Refusal(Exception):
    """The broker refuses something of what was sent, and is there.

    Attributes:
        taken: The messages that it has confirmed all the same, by their number, from 0.
        certain: Whether a message that was sent alone is at fault; else it is worth another try, because the connection
            was lost with it, which may have another cause.
    """

    def __init__(self, words: str, *, taken: frozenset[int] = frozenset(), certain: bool = True) -> None:
        super().__init__(words)
        self.taken = taken
        self.certain = certain


def send_around(client: Client, deliveries: Sequence[Delivery], send: Send) -> list[Undeliverable]:
    """Send deliveries in order, without those that the broker refuses; return these.

    Args:
        client: Whose they are.
        deliveries: All that goes out.
        send: Sends some of them, on a new connection where the last one is lost; raises `Refusal`.
    """
    refused: list[Undeliverable] = []
    while deliveries:
        try:
            return refused + send(deliveries)
        except Refusal as refusal:
            parcels = [parcel for _, parcel in pack(client, deliveries)]
            left = [parcel for nth, parcel in enumerate(parcels) if nth not in refusal.taken]
            if len(parcels) == 1 and refusal.certain:
                found, left = _at_fault(left[0], refusal)
            else:
                found, left = _search(left, send)
            refused += found
            deliveries = [delivery for parcel in left for delivery in parcel]
    return refused


def _search(parcels: Sequence[Sequence[Delivery]], send: Send) -> tuple[list[Undeliverable], list[Sequence[Delivery]]]:
    """Send message by message until one is refused; return what is undeliverable so far, and what is left to send."""
    refused: list[Undeliverable] = []
    for nth, parcel in enumerate(parcels):
        try:
            refused += send(parcel)
        except Refusal as refusal:
            found, halves = _at_fault(parcel, refusal)
            return refused + found, [*halves, *parcels[nth + 1 :]]
    return refused, []


def _at_fault(parcel: Sequence[Delivery], refusal: Refusal) -> tuple[list[Undeliverable], list[Sequence[Delivery]]]:
    """Return the event at fault; of a batch its halves, each a message of its own from now on."""
    if len(parcel) == 1:
        return [Undeliverable(parcel[0].offset, str(refusal))], []
    middle = len(parcel) // 2
    return [], [[one._replace(part=half[0].offset) for one in half] for half in (parcel[:middle], parcel[middle:])]
