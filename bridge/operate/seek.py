"""Seek: move a client's cursor, forward or back.

A seek starts a new epoch. Open deliveries are forgotten, and what is reported of them later carries the old epoch and
changes nothing (G6). A seek is the only way in which a cursor goes back (G3).
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.model import Position
from bridge.store import Store
from bridge.store.clients import resolve_position
from bridge.store.held import count_move, hold_client, hold_log, move_client
from bridge.store.horizon import advance_horizon
from bridge.store.journal import note
from bridge.store.leases import forget_answers


class Sought(NamedTuple):
    """What a seek did, or would do.

    Attributes:
        before: The cursor before.
        offset: The new cursor: the last event that will not be delivered again.
        again: Events that were handed over before, and will be handed over once more.
        passed_over: Events that are not finished, and never will be handed over.
        exact: Whether the two are all; else the way was too long to count, and they are the least.
        moved: Whether the cursor was moved; false for a dry run.
        pruned: The offset up to which events may be gone, where that is above the new cursor; else None.
    """

    before: int
    offset: int
    again: int
    passed_over: int
    exact: bool
    moved: bool
    pruned: int | None = None


def seek(store: Store, client: str, *, to: Position, by: str, dry_run: bool = False) -> Sought:
    """Move a client's cursor, forward or back, and forget its open deliveries.

    Parked events above the new place will be handed over again; those at or below it stay parked. Replays end. A plain
    SQL reader only has a cursor, and that moves.

    Args:
        store: The event log and its clients.
        client: Id of a client.
        to: Beginning, end, an offset, or a UTC timestamp.
        by: Who does it, for the journal.
        dry_run: Only say what would happen.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: the position is above the horizon; nothing changed.
        StoreUnavailable: Postgres refused or dropped; the cursor has not moved.
    """
    horizon = advance_horizon(store)
    with store.transaction() as connection:
        pruned = hold_log(connection)
        held = hold_client(connection, client)
        target = resolve_position(connection, to, horizon=horizon)
        count = count_move(connection, client, target=target)
        if not dry_run:
            forget_answers(connection, client)
            moved = move_client(connection, client, target=target)
            details = {"from": held.offset, "to": target, **count._asdict(), **moved._asdict()}
            note(connection, client, "seek", by=by, details=details)
    gone = pruned if pruned is not None and target < pruned else None
    return Sought(held.offset, target, *count, moved=not dry_run, pruned=gone)
