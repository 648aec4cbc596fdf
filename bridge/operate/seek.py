"""Seek: move a client's cursor, forward or back.

A seek starts a new epoch. What was in flight is forgotten, and what is reported of it later carries the old epoch and
changes nothing (G6). This is the only way in which a cursor goes back (G3).
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.model import Position
from bridge.store import Store, journal
from bridge.store import held as rows
from bridge.store.clients import resolve
from bridge.store.horizon import advance_horizon

MOST_COUNTED = 1_000_000  # events that are looked at to say what a move means: about a second


class Sought(NamedTuple):
    """What a seek did, or would do.

    Attributes:
        before: The cursor before.
        offset: The new cursor: the last event that will not be delivered again.
        again: Events that were handed over before, and will be once more.
        passed_over: Events that are not finished, and never will be handed over.
        exact: Whether the two are all; else the way was too long to count, and they are the least.
        moved: Whether it was done, and not only tried.
    """

    before: int
    offset: int
    again: int
    passed_over: int
    exact: bool
    moved: bool


def seek(store: Store, client: str, *, to: Position, by: str, dry_run: bool = False) -> Sought:
    """Move a client's cursor, forward or back, and forget what is in flight.

    Parked events above the new place will be handed over again; those at or below it stay parked. Replays end. A plain
    SQL reader only has a cursor, and that moves.

    Args:
        store: The event log and its clients.
        client: Id of a client.
        to: Beginning, end, an offset, or a UTC timestamp.
        by: Who says so, for the journal.
        dry_run: Only say what would happen.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: the position is above the horizon; nothing changed.
        StoreUnavailable: Postgres refused or dropped; the cursor has not moved.
    """
    horizon = advance_horizon(store)
    with store.transaction() as connection:
        held = rows.hold(connection, client)
        target = resolve(connection, to, horizon=horizon)
        counted = rows.count_move(connection, client, target=target, most=MOST_COUNTED)
        if not dry_run:
            moved = rows.move(connection, client, target=target)
            details = {"from": held.offset, "to": target, **counted._asdict(), **moved._asdict()}
            journal.note(connection, client, "seek", by=by, details=details)
    return Sought(held.offset, target, *counted, moved=not dry_run)
