"""Places in the log, as people name them."""

from __future__ import annotations

from datetime import UTC, datetime

from bridge.model import Position
from bridge.store import Store
from bridge.store.looking_up import moment_before

# `beginning`, `now` (or `end`), an offset, a moment, or a span such as `2h` (so long ago): as text, or as what it is.
PlaceInLog = Position | str | int | datetime


def position_of(place: PlaceInLog) -> Position:
    """Read a place in the log.

    Raises:
        UsageError: the text or number is no place.
    """
    if isinstance(place, datetime):
        return Position(since=place if place.tzinfo else place.replace(tzinfo=UTC))
    return place if isinstance(place, Position) else Position.parse(str(place))


def dated(store: Store, position: Position) -> Position:
    """Return the same place, named by its moment where it is so long ago: an archive knows moments only."""
    if position.ago_seconds is None:
        return position
    return Position(since=moment_before(store, position.ago_seconds))
