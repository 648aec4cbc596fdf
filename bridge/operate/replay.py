"""Replay: hand old events to one client again, beside its cursor.

A replay has an epoch of its own, so what its attempts report is told apart from everything before. It takes only
events that the client has finished. It keeps the order of the log, one open event per key (G4), and the window (G5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bridge.errors import UsageError
from bridge.model import Position
from bridge.store import Store
from bridge.store.clients import resolve_position
from bridge.store.held import StoppedReplay, add_replay, count_replay, end_replays, hold_driven_client, hold_log
from bridge.store.horizon import advance_horizon
from bridge.store.journal import note


class Replay(NamedTuple):
    """A replay that was started.

    Attributes:
        id: Its number.
        epoch: The epoch number of its deliveries.
        first: The first offset that it looks at.
        upto: The last one; at most the client's cursor.
        events: How many of the events in between match.
        exact: Whether that is all; else the range was too long to count, and `events` is the least.
        pruned: The offset up to which events may be gone, where the range begins at or below it; else None.
        restored: How many archived events were put back into the log for it.
    """

    id: int
    epoch: int
    first: int
    upto: int
    events: int
    exact: bool
    pruned: int | None = None
    restored: int = 0


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

    The range ends at the cursor: events above it are not finished, and are handed over anyway. Parked events stay
    parked. Replays of one client share the room that there is for them.

    Args:
        store: The event log and its clients.
        client: Id of a registered client.
        start: The first event: an offset that is included, or a moment.
        end: The last event: an offset that is included, or the moment before which it was created.
        topics: AMQP topic patterns, beside the client's own; None for all that the client reads.
        per_second: Most events in a second (above 0).
        by: Who does it, for the journal.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: it is a plain SQL reader, or has finished nothing in this range; nothing changed.
    """
    if not 0 < per_second < float("inf"):
        raise UsageError(f"a replay at {per_second:g} events a second never ends: must be above 0")
    horizon = advance_horizon(store)
    with store.transaction() as connection:
        pruned = hold_log(connection)
        held = hold_driven_client(connection, client)
        first = start.offset if start.offset is not None else resolve_position(connection, start, horizon=horizon) + 1
        last = end.offset if end.offset is not None else resolve_position(connection, end, horizon=horizon)
        upto = min(last, held.offset)
        _check_range(client, first=first, upto=upto, cursor=held.offset)
        events, exact = count_replay(connection, client, first=first, upto=upto, topics=topics)
        id, epoch = add_replay(connection, client, first=first, upto=upto, topics=topics, per_second=per_second)
        details = {
            "from": first,
            "to": upto,
            "topics": topics and list(topics),
            "per_second": per_second,
            "events": events,
            "epoch": epoch,
        }
        note(connection, client, "replay", by=by, details=details)
    gone = pruned if pruned is not None and first <= pruned else None
    return Replay(id, epoch, first, upto, events, exact, gone)


def stop_replays(store: Store, client: str, *, by: str) -> list[StoppedReplay]:
    """Stop a client's replays where they are, those that wait as well. Open deliveries end as they do.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: it is a plain SQL reader; nothing changed.
    """
    with store.transaction() as connection:
        hold_driven_client(connection, client)
        stopped = end_replays(connection, client)
        for it in stopped:
            note(connection, client, "stop replay", by=by, details=it._asdict())
    return stopped


def _check_range(client: str, *, first: int, upto: int, cursor: int) -> None:
    if first > cursor:
        raise UsageError(
            f"client {client!r} has not finished event {first}: its cursor stands at {cursor}, "
            "and events above the cursor are handed over anyway"
        )
    if first > upto:
        raise UsageError(f"there is nothing to replay: the range ends at {upto}, before it begins at {first}")
