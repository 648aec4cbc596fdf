"""Decide what is sent together: portions that are bounded in bytes, and alone what is larger than all before it.

A message that is larger than any that the broker has taken yet may be one that it refuses. Sent alone, it is known to
be the one at fault, and nothing else has to be sent again. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bridge.bounds import ORDINARY_BYTES
from bridge.model import Client, Delivery
from bridge.sender.parcels import pack


def portions(
    client: Client, deliveries: Sequence[Delivery], *, known: Callable[[], int], most_bytes: int
) -> Iterator[Sequence[Delivery]]:
    """Yield the deliveries in the order of their messages, those of one message together.

    Args:
        client: Whose they are.
        deliveries: All that goes out.
        known: Returns the size of the largest message that the broker has taken by then.
        most_bytes: Most of a portion; one message may be more.
    """
    if _is_one_portion(client, deliveries, max(known(), ORDINARY_BYTES), most_bytes):
        yield deliveries
        return
    portion: list[Delivery] = []
    left = most_bytes
    for _, parcel in pack(client, deliveries):
        size = size_of(parcel)
        if is_ordinary(size, known()):
            left -= size
            if left < 0 and portion:
                yield portion
                portion, left = [], most_bytes - size
            portion.extend(parcel)
            continue
        if portion:
            yield portion
            portion, left = [], most_bytes
        yield parcel
    if portion:
        yield portion


def _is_one_portion(client: Client, deliveries: Sequence[Delivery], known: int, most_bytes: int) -> bool:
    """Tell, without a look at each message, whether all may be sent together."""
    largest = max([len(delivery.body) for delivery in deliveries], default=0)  # a list is faster than a generator
    if 4 * largest * client.batch > known and not all(delivery.body.isascii() for delivery in deliveries):
        largest *= 4  # bytes of a character at most
    return largest * client.batch <= known and largest * len(deliveries) <= most_bytes


def size_of(deliveries: Sequence[Delivery]) -> int:
    """Return about how large a message of these is, in bytes of its body."""
    bodies = [delivery.body for delivery in deliveries]
    return sum(len(body if not isinstance(body, str) or body.isascii() else body.encode()) for body in bodies)


def is_ordinary(size: int, known: int) -> bool:
    """Tell whether the broker has taken a message of this size before, or takes it as a matter of course."""
    return size <= max(known, ORDINARY_BYTES)
