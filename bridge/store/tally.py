"""A tally of offsets: how many, and their sum. Two tallies that differ by one offset tell which one it is."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple, Self


class Tally(NamedTuple):
    """How many offsets there are, and their sum. Example: 7 and 9 are `Tally(2, 16)`."""

    number: int = 0
    total: int | Decimal = 0

    @classmethod
    def of(cls, offsets: Iterable[int]) -> Self:
        """Tally these offsets."""
        listed = list(offsets)
        return cls(len(listed), sum(listed))

    def __add__(self, other: Self) -> Self:  # type: ignore[override]
        """Return the tally of both together."""
        return type(self)(self.number + other.number, self.total + other.total)

    def __sub__(self, other: Self) -> Self:
        """Return what this has and the other has not."""
        return type(self)(self.number - other.number, self.total - other.total)
