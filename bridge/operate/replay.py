"""Replay: hand old events to one client again, beside its cursor.

A replay is a generation of its own, so what its attempts report is told apart from everything before. It takes only
what the client has finished, goes in the order of the log, waits for its keys (G4) and stays within the window (G5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bridge.errors import UsageError
from bridge.model import Position
from bridge.store import Store, journal
from bridge.store import held as rows
from bridge.store.clients import resolve
from bridge.store.held import Stopped
from bridge.store.horizon import advance_horizon

MOST_COUNTED = 1_000_000  # events that are looked at to say how many will go out: about a second


class Replay(NamedTuple):
    """A replay that was started.

    Attributes:
        id: Its number.
        epoch: The generation of its deliveries.
        first: The first offset that it looks at.
        upto: The last one; at most the client's cursor.
        events: How many of the events in between match.
        exact: Whether that is all; else the range was too long to count, and it is the least.
    """

    id: int
    epoch: int
    first: int
    upto: int
    events: int
    exact: bool


def replay(
    store: Store,
    client: str,
    *,
    start: Position,
    end: Position,
    topics: Sequence[str] | None = None,
    per_second: float,
    by: str,
) -> Replay:
    """Start handing old events to one client again.

    What the client has not finished yet is not replayed, it comes anyway: the range ends at the cursor. Parked events
    stay parked. Replays of one client run one after another.

    Args:
        store: The event log and its clients.
        client: Id of a registered client.
        start: The first event: an offset that is included, or a moment.
        end: The last event: an offset that is included, or the moment before which it was created.
        topics: AMQP topic patterns, beside the client's own; None for all that the client reads.
        per_second: Most events in a second (above 0).
        by: Who says so, for the journal.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: the client has finished nothing in this range; nothing changed.
    """
    if not 0 < per_second < float("inf"):
        raise UsageError(f"a replay at {per_second:g} events a second never ends: must be above 0")
    horizon = advance_horizon(store)
    with store.transaction() as connection:
        held = rows.hold_driven(connection, client)
        first = start.offset if start.offset is not None else resolve(connection, start, horizon=horizon) + 1
        last = end.offset if end.offset is not None else resolve(connection, end, horizon=horizon)
        upto = min(last, held.offset)
        if first > held.offset:
            raise UsageError(
                f"client {client!r} has not finished event {first}: its cursor stands at {held.offset}, "
                "and what comes after it is handed over anyway"
            )
        if first > upto:
            raise UsageError(f"there is nothing to replay: the range ends at {upto}, before it begins at {first}")
        events, exact = rows.count_replay(connection, client, first=first, upto=upto, topics=topics, most=MOST_COUNTED)
        id, epoch = rows.add_replay(connection, client, first=first, upto=upto, topics=topics, per_second=per_second)
        details = {
            "from": first,
            "to": upto,
            "topics": topics and list(topics),
            "per_second": per_second,
            "events": events,
        }
        journal.note(connection, client, "replay", by=by, details={**details, "epoch": epoch})
    return Replay(id, epoch, first, upto, events, exact)


def stop_replays(store: Store, client: str, *, by: str) -> list[Stopped]:
    """Stop a client's replays where they are; what is out ends as it does.

    Raises:
        UnknownClient: no such client; nothing changed.
    """
    with store.transaction() as connection:
        rows.hold_driven(connection, client)
        stopped = rows.end_replays(connection, client)
        for it in stopped:
            journal.note(connection, client, "stop replay", by=by, details=it._asdict())
    return stopped
