"""Redrive and discard: decide what becomes of parked events; with a reason, an open or a next event is given up too.

The cursor has passed a parked event, and stays where it is. A redrive hands the event over beside the cursor, when the
window has room and no other event of its key is open. Its attempts are counted on: an event that was parked after
attempt 5 goes out as attempt 6. Under `hold-key` the key waits until the event succeeds or is discarded.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from bridge.errors import UsageError
from bridge.store import Store
from bridge.store.held import hold_driven_client
from bridge.store.horizon import advance_horizon
from bridge.store.journal import note
from bridge.store.leases import forget_answers
from bridge.store.outcomes import move_cursors
from bridge.store.parked import Selection, discard_parked, redrive_parked
from bridge.store.skipping import discard_open, skip
from bridge.store.tally import Tally

MOST_NOTED_OFFSETS = 1000  # in one entry of the journal


def choose(
    client: str,
    *,
    everything: bool = False,
    keys: Sequence[str] = (),
    error_types: Sequence[str] = (),
    offsets: Sequence[int] = (),
    older_seconds: float | None = None,
) -> Selection:
    """Return the selection of parked events that fit all that is given; `everything` has to be said.

    Raises:
        UsageError: nothing is given, or both `everything` and a part of it.
    """
    selection = Selection(
        keys=tuple(keys), error_types=tuple(error_types), offsets=tuple(offsets), older_seconds=older_seconds
    )
    if everything != selection.all:
        raise UsageError(
            f"say which parked events of client {client!r}: either all (--all), "
            "or those that fit (--key, --error-type, --offset, --older-than)"
        )
    return selection


def redrive(store: Store, client: str, selection: Selection, *, by: str) -> list[int]:
    """Hand parked events over again, to this client only.

    Args:
        store: The event log and its clients.
        client: Id of a registered client.
        selection: Which of its parked events.
        by: Who does it, for the journal.

    Returns:
        The offsets of those that go out again, in order; without those that were redriven before and still wait.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: it is a plain SQL reader; nothing changed.
    """
    with store.transaction() as connection:
        hold_driven_client(connection, client)
        chosen = redrive_parked(connection, client, selection)
        if chosen:
            note(connection, client, "redrive", by=by, details=_details(selection, chosen))
    return chosen


def discard(store: Store, client: str, selection: Selection, *, by: str, reason: str | None = None) -> list[int]:
    """Give events up for good; keys that were held for them, or waited for them, go on.

    Args:
        store: The event log and its clients.
        client: Id of a registered client.
        selection: Which of its parked events.
        by: Who does it, for the journal.
        reason: Why, for the journal. With a reason, the offsets of the selection may also be open deliveries, and the
            next events that would be handed over: in the order of the log, or of their key.

    Returns:
        The offsets of those that are gone, in order.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: it is a plain SQL reader; nothing changed.
    """
    horizon = advance_horizon(store) if reason else -1
    with store.transaction() as connection:
        hold_driven_client(connection, client)
        parked = discard_parked(connection, client, selection)
        others = sorted(set(selection.offsets) - set(parked)) if reason else []
        skipped = _give_up(connection, client, others, horizon=horizon) if others else []
        gone = sorted([*parked, *skipped])
        if gone:
            told = {"reason": reason, "not_parked": skipped[:MOST_NOTED_OFFSETS]} if reason else {}
            note(connection, client, "discard", by=by, details={**_details(selection, gone), **told})
    return gone


def _give_up(connection: Connection, client: str, offsets: Sequence[int], *, horizon: int) -> list[int]:
    """Give up what is open or next, in order: behind one that is passed over, the one after it is the next."""
    forget_answers(connection, client)
    gone = discard_open(connection, client, offsets)
    if gone:  # a key whose open event is gone has its next event in its lane
        move_cursors(connection, {client: Tally()}, failed=[client])
    skipped = [offset for offset in offsets if offset not in gone and skip(connection, client, offset, horizon=horizon)]
    if skipped:
        move_cursors(connection, {client: Tally()}, failed=[client])
    return [*gone, *skipped]


def _details(selection: Selection, offsets: Sequence[int]) -> dict[str, object]:
    asked = {
        "keys": len(selection.keys),  # only how many: a key may name a person, and the journal can't forget
        "error_types": list(selection.error_types),
        "offsets": list(selection.offsets[:MOST_NOTED_OFFSETS]),
        "older_seconds": selection.older_seconds,
    }
    return {
        "events": len(offsets),
        "offsets": list(offsets[:MOST_NOTED_OFFSETS]),
        "asked": {name: value for name, value in asked.items() if value} or "all",
    }
