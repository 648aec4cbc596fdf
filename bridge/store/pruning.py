"""The SQL of pruning: find the events that nobody needs any more, remove them, and tell who keeps the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from bridge.sql import statement
from bridge.store.connect import Store


class Bounds(NamedTuple):
    """How far the log may be pruned.

    Attributes:
        upto: The last offset that is final, and not among the newest events that are to stay.
        held: The last offset below all that somebody still needs.
    """

    upto: int
    held: int


class Looked(NamedTuple):
    """What one look at the log has found.

    Attributes:
        offsets: The events that nobody needs any more, in order.
        events: How many events were looked at.
        young: How many of them are not old enough.
        last: The last of them; None where there was none.
        more: Whether there may be others behind it.
    """

    offsets: Sequence[int]
    events: int
    young: int
    last: int | None
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A client, a replay or a hold that keeps events which would be removed otherwise.

    Attributes:
        kind: What it is.
        name: The client's id, or the hold's name.
        first: The first event that it keeps.
        state: Of a client; `reader` for a plain SQL reader.
        state_reason: Why the client is in that state.
        state_at: Since when.
        expires_at: When the hold ends.
        event_at: When the event `first` was created.
    """

    kind: Literal["client", "replay", "hold"]
    name: str
    first: int
    state: str | None
    state_reason: str | None
    state_at: datetime | None
    expires_at: datetime | None
    event_at: datetime


def read_bounds(store: Store, *, keep: int | None) -> Bounds:
    """Tell how far the log may be pruned at this moment."""
    with store.reading() as connection:
        return Bounds(*connection.execute(statement("retention/read_bounds"), {"keep": keep}).one())


def free_events(store: Store, *, after: int, upto: int, before: datetime | None, most: int, bytes: int) -> Looked:
    """Find the next events that nobody needs any more, among at most `most` events of the log.

    Their payloads take no more than `bytes` there, unless it is one event; a large one is compressed.
    """
    binds = {"after": after, "upto": upto, "before": before, "most": most, "bytes": bytes}
    with store.reading() as connection:
        return Looked(*connection.execute(statement("retention/free_events"), binds).one())


def remove_events(store: Store, offsets: Sequence[int]) -> int:
    """Remove events in a transaction of their own, and return how many were there.

    Raises:
        UsageError: somebody needs one of them by now; nothing was removed.
    """
    with store.writing() as connection:
        return len(connection.execute(statement("retention/remove_events"), {"offsets": list(offsets)}).all())


def who_holds(store: Store, *, upto: int, before: datetime | None) -> list[Holding]:
    """Return who keeps events that would be removed otherwise; who needs the oldest one comes first."""
    with store.reading() as connection:
        rows = connection.execute(statement("retention/who_holds"), {"upto": upto, "before": before}).mappings()
        return [Holding(**row) for row in rows]


def log_bytes(store: Store) -> int:
    """Return how large the log is, with its indexes."""
    with store.reading() as connection:
        return int(connection.execute(statement("look/log_size")).scalar_one())
