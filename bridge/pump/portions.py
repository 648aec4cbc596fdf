"""Give deliveries their bodies, a bounded number of bytes at a time: memory grows with no event's size (G10).

A small body comes along with its slice. A large one stays in Postgres until its portion is about to be sent, and is
let go before the next portion is fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice

from sqlalchemy import Connection

from bridge.bounds import COMMAND_BYTES
from bridge.errors import Undeliverable
from bridge.model import Client, Delivery
from bridge.store.bodies import Body, fetch_bodies

MOST_AT_ONCE = 1000  # events that are asked for, of which a few come


def portions(
    connection: Connection,
    client: Client,
    deliveries: list[Delivery],
    refused: list[Undeliverable],
    *,
    most_bytes: int,
) -> Iterator[list[Delivery]]:
    """Yield deliveries in their order, with their bodies; never an empty list.

    A portion that `holds_large` is empty as soon as the next one is asked for: until then it has to be sent.

    Args:
        connection: In the transaction that handed them over.
        client: Whose they are.
        deliveries: Those of large events have no body yet.
        refused: Those whose body can't be sent are added here, and not yielded.
        most_bytes: Most that is fetched for a portion; a single event may be more.
    """
    waiting = deque(delivery for delivery in deliveries if not delivery.body)
    if not waiting:
        if deliveries:
            yield deliveries
        return
    portion: list[Delivery] = []
    fetched: deque[Body] = deque()
    for delivery in deliveries:
        if delivery.body:
            portion.append(delivery)
            continue
        if not fetched:
            if portion:
                yield portion
                portion = _let_go(portion)
            some = list(islice(waiting, MOST_AT_ONCE))
            fetched.extend(fetch_bodies(connection, client, some, most_bytes=most_bytes))
        waiting.popleft()
        if (body := fetched[0].body) is None:
            refused.append(Undeliverable(delivery.offset, str(fetched[0].fault)))
        else:
            portion.append(delivery._replace(body=body))
        del fetched[0], body
    if portion:
        yield portion
        _let_go(portion)


def holds_large(portion: Sequence[Delivery]) -> bool:
    """Tell whether a portion has to be sent before more is fetched: both together would take too much memory."""
    return any(len(delivery.body) > COMMAND_BYTES for delivery in portion)


def _let_go(portion: list[Delivery]) -> list[Delivery]:
    """Return an empty list: this one if it holds what is large, for its caller may have it still, else another."""
    if not holds_large(portion):
        return []  # its caller may not have sent it yet
    portion.clear()
    return portion
