"""Places in the log, as people name them."""

from __future__ import annotations

from datetime import UTC, datetime

from bridge.model import Position

# `beginning`, `now` (or `end`), an offset, or a moment: as text, or as what it is.
PlaceInLog = Position | str | int | datetime


def position_of(place: PlaceInLog) -> Position:
    """Read a place in the log.

    Raises:
        UsageError: the text or number is no place.
    """
    if isinstance(place, datetime):
        return Position(since=place if place.tzinfo else place.replace(tzinfo=UTC))
    return place if isinstance(place, Position) else Position.parse(str(place))
