"""The SQL of leases that have run out: look at what was handed over after each, and renew those that may still wait.

Deliveries that the broker did not take stand beside them: they have no message that could wait, and no lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.model import Client
from bridge.sql import statement
from bridge.store.chunks import CHUNK_DELIVERIES
from bridge.wording import SAID_CHARACTERS, storable


class Lapsed(NamedTuple):
    """A delivery whose lease has run out, and what is known of the queue behind its message.

    Attributes:
        waited_at: The last look at which its message might still have waited; None if this is the first one.
        behind: How many deliveries were handed over after it and out at that look; None once it has left the queue.
        still: How many of those are out now.
        later: How many deliveries were handed over after it and are out now.
        messages: The fewest messages that these are.
    """

    offset: int
    epoch: int
    attempt: int
    waited_at: datetime | None
    behind: int | None
    still: int
    later: int
    messages: int


class Renewal(NamedTuple):
    """A lease that is renewed; `behind` is what is out behind its message, None where that has left the queue."""

    offset: int
    seconds: float
    behind: int | None


def look_at_leases(connection: Connection, client: Client) -> list[Lapsed]:
    """List the client's deliveries whose lease has run out."""
    rows = connection.execute(statement("pass/look_at_leases"), {"client": client.id}).mappings()
    return [Lapsed(**row) for row in rows]


def forget_answers(connection: Connection, client: str) -> None:
    """Let what an operator ends of this client count for no answer to what waits in its queue, of all its clients."""
    connection.execute(statement("operate/forget_answers"), {"client": client})


def renew_leases(connection: Connection, client: Client, renewals: Sequence[Renewal]) -> None:
    """Renew these leases; it is no attempt."""
    ordered = sorted(renewals, key=attrgetter("offset"))
    for first in range(0, len(ordered), CHUNK_DELIVERIES):
        offsets, seconds, behinds = map(list, zip(*ordered[first : first + CHUNK_DELIVERIES], strict=True))
        binds = {"client": client.id, "offsets": offsets, "seconds": seconds, "behinds": behinds}
        connection.execute(statement("pass/renew_leases"), binds)


def postpone(connection: Connection, client: Client, offsets: Sequence[int], *, seconds: float) -> None:
    """Let deliveries that the broker did not take go out again in a while, as the same attempts."""
    if offsets:
        binds = {"client": client.id, "offsets": list(offsets), "seconds": seconds}
        connection.execute(statement("pass/postpone"), binds)


def note_not_taken(connection: Connection, client: Client, why: str) -> None:
    """Remember why the broker took only some of a client's events; its next good pass forgets it."""
    binds = {"client": client.id, "trouble": storable(why, most=SAID_CHARACTERS)}
    connection.execute(statement("pass/note_trouble"), binds)
