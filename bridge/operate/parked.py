"""Redrive and discard: what becomes of parked events.

A parked event is finished as far as the cursor goes, and stays so: a redrive hands it over beside the cursor, within
the window and in its key's turn, and counts its attempts on. Under `hold-key` the key waits until the event succeeds or
is discarded.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.store import Store, journal, parked
from bridge.store import held as rows
from bridge.store.parked import Selection

MOST_NOTED = 1000  # offsets that one entry of the journal names


def redrive(store: Store, client: str, selection: Selection, *, by: str) -> list[int]:
    """Hand parked events over again, to this client only.

    Args:
        store: The event log and its clients.
        client: Id of a registered client.
        selection: Which of its parked events.
        by: Who says so, for the journal.

    Returns:
        The offsets of those that go out again, in order; without those that were redriven before and still wait.

    Raises:
        UnknownClient: no such client; nothing changed.
    """
    with store.transaction() as connection:
        rows.hold_driven(connection, client)
        chosen = parked.redrive(connection, client, selection)
        if chosen:
            journal.note(connection, client, "redrive", by=by, details=_details(selection, chosen))
    return chosen


def discard(store: Store, client: str, selection: Selection, *, by: str) -> list[int]:
    """Give parked events up for good; keys that were held for them go on.

    Args:
        store: The event log and its clients.
        client: Id of a registered client.
        selection: Which of its parked events.
        by: Who says so, for the journal.

    Returns:
        The offsets of those that are gone, in order.

    Raises:
        UnknownClient: no such client; nothing changed.
    """
    with store.transaction() as connection:
        rows.hold_driven(connection, client)
        gone = parked.discard(connection, client, selection)
        if gone:
            journal.note(connection, client, "discard", by=by, details=_details(selection, gone))
    return gone


def _details(selection: Selection, offsets: Sequence[int]) -> dict[str, object]:
    asked = {"keys": selection.keys, "error_types": selection.error_types, "offsets": selection.offsets[:MOST_NOTED]}
    return {
        "events": len(offsets),
        "offsets": list(offsets[:MOST_NOTED]),
        "asked": {name: list(value) for name, value in asked.items() if value} or "all",
    }
