"""Send what can be sent: what the broker refuses is narrowed down until the event at fault is alone.

A refusal closes the channel, and with it goes all that was under way. So it is not enough to know that something was
refused: each message is tried by itself until the one at fault is found, and a batch is halved. The rest goes on as
before, and what the broker has confirmed is not sent again (decision 23).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.errors import BrokerRefuses, NotTaken, Undeliverable, Unsent
from bridge.model import Client, Delivery
from bridge.sender.parcels import pack

Send = Callable[[Sequence[Delivery]], list[Unsent]]


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


def send_around(client: Client, deliveries: Sequence[Delivery], send: Send) -> list[Unsent]:
    """Send deliveries in order, without those that the broker refuses; return these.

    Args:
        client: Whose they are.
        deliveries: All that goes out.
        send: Sends some of them, on a new connection where the last one is lost; raises `Refusal`.
    """
    refused: list[Unsent] = []
    while deliveries:
        try:
            return refused + send(deliveries)
        except Refusal as refusal:
            parcels = [parcel for _, parcel in pack(client, deliveries)]
            # Other serializers than json refuse events: then there were fewer messages, and their numbers mean nothing.
            taken = refusal.taken if client.serializer == "json" else frozenset()
            left = [parcel for nth, parcel in enumerate(parcels) if nth not in taken]
            if len(parcels) == 1 and refusal.certain:
                return refused + _halved(parcels[0], refusal, send)
            found, left = _search(left, send)
            refused += found
            deliveries = [delivery for parcel in left for delivery in parcel]
    return refused


def _search(parcels: Sequence[Sequence[Delivery]], send: Send) -> tuple[list[Unsent], list[Sequence[Delivery]]]:
    """Send message by message until one is refused; return what is undeliverable so far, and what is left to send."""
    refused: list[Unsent] = []
    for nth, parcel in enumerate(parcels):
        try:
            refused += send(parcel)
        except Refusal as refusal:
            return refused + _halved(parcel, refusal, send), [*parcels[nth + 1 :]]
    return refused, []


def _halved(parcel: Sequence[Delivery], refusal: Refusal, send: Send) -> list[Unsent]:
    """Return the event of a message that was refused alone; of a batch send each half as a message of its own."""
    if len(parcel) == 1:
        return [Undeliverable(parcel[0].offset, str(refusal))]
    refused: list[Unsent] = []
    middle = len(parcel) // 2
    for half in (parcel[:middle], parcel[middle:]):
        part = [delivery._replace(part=half[0].offset) for delivery in half]
        try:
            refused += send(part)
        except Refusal as again:
            refused += _halved(part, again, send)
    return refused


def left_over(
    client: Client, deliveries: Sequence[Delivery], refused: Sequence[Unsent], error: BrokerRefuses
) -> list[Unsent]:
    """Return the deliveries of which no message was made, and those whose message the broker did not take."""
    at_fault = {it.offset for it in refused}
    made = [[it for it in parcel if it.offset not in at_fault] for _, parcel in pack(client, deliveries)]
    left = [parcel for nth, parcel in enumerate(filter(None, made)) if nth not in error.taken]
    return [*refused, *(NotTaken(it.offset, str(error)) for parcel in left for it in parcel)]
