"""The SQL of a resync: look at what the log can tell after a restore, and begin a new generation.

All of it runs in one transaction that holds every client, so nothing is handed over or settled in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.sql import statement

ANY_OFFSET = 2**63 - 1


class Found(NamedTuple):
    """What the log itself can tell.

    Attributes:
        drawn: The last offset that was drawn; -1 if none was.
        horizon: The highest offset that was final once.
        starts: The first offset of each generation.
        last: The last event; -1 if there is none.
        pruned: The offset up to which old events may have been removed; -1 if none were.
        handed_over: How far the log was handed over to any client; None if there is none.
        reached: The highest offset that any client or reader has had.
        reused: The first event that was written at an offset that had been drawn before; None if there is none.
    """

    drawn: int
    horizon: int
    starts: tuple[int, ...]
    last: int
    pruned: int
    handed_over: int | None
    reached: int
    reused: int | None


class ResyncedClient(NamedTuple):
    """A client after a resync.

    Attributes:
        client: Its id.
        before: Its cursor before.
        offset: Its cursor now; lower if events at offsets that it had finished may be others now.
        again: Its open deliveries, which go out again.
        forgotten: Its deliveries and parked events at offsets that may name other events now.
    """

    client: str
    before: int
    offset: int
    again: int
    forgotten: int


def hold_all_clients(connection: Connection) -> None:
    """Wait for every pass and every batch of outcomes, and let none begin until the transaction ends."""
    connection.execute(statement("operate/hold_all_clients"))


def look_at_log(connection: Connection) -> Found:
    """Look at what the log itself can tell."""
    row = dict(connection.execute(statement("operate/resync_look")).mappings().one())
    return Found(**{**row, "starts": tuple(row["starts"])})


def count_events(connection: Connection, *, after: int, upto: int) -> int:
    """Count the events above an offset, up to another one."""
    return int(connection.execute(statement("operate/count_events"), {"after": after, "upto": upto}).scalar_one())


def move_sequence(connection: Connection, *, sequence: int) -> None:
    """Let offsets be drawn above this one only, from now on: no rollback takes that back."""
    connection.execute(statement("operate/move_sequence"), {"sequence": sequence})


def move_other_sequences(connection: Connection) -> None:
    """Let the numbers of the other tables go on above those that are there: no rollback takes that back."""
    connection.execute(statement("operate/move_other_sequences"))


def forget_ids(connection: Connection, *, after: int, kept: int | None) -> int:
    """Forget the ids of events that the log has lost, and return how many.

    Args:
        connection: In a transaction that holds all clients.
        after: The last offset whose event is certainly there.
        kept: The last offset that names the event of before for certain; None if all do.
    """
    binds = {"after": after, "kept": ANY_OFFSET if kept is None else kept}
    return int(connection.execute(statement("operate/forget_ids"), binds).scalar_one())


def begin_generation(
    connection: Connection, *, starts: Sequence[int], kept: int | None, final: int
) -> list[ResyncedClient]:
    """Begin a generation of the log.

    Args:
        connection: In a transaction that holds all clients.
        starts: The first offset of each generation.
        kept: The last offset that names the event of before for certain; None if all do that clients have had.
        final: The horizon goes back to this, and moves on from there.
    """
    binds = {"kept": ANY_OFFSET if kept is None else kept}
    connection.execute(statement("operate/begin_generation"), {"starts": list(starts), "final": final})
    rows = connection.execute(statement("operate/resync_deliveries"), binds)
    done = {row.client_id: (row.again, row.forgotten) for row in rows}
    clients = connection.execute(statement("operate/resync_clients"), binds)
    return [ResyncedClient(row.id, row.before, row.offset, *done.get(row.id, (0, 0))) for row in clients]
