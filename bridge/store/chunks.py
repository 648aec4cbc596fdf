"""Cut a list of deliveries into chunks: as many as one statement takes, and none that reaches too far.

A statement looks for its deliveries between the lowest and the highest of their offsets, so it reads over all that lies
between them: see decision 14.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import nlargest
from itertools import pairwise
from operator import attrgetter
from typing import Protocol, TypeVar

CHUNK_DELIVERIES = (
    200  # of one UPDATE or DELETE: where Postgres believes the table to be empty, it compares all with all
)
# Deliveries that are farther apart than this go into statements of their own. There are not many such cuts, because the
# deliveries of a client that wants few events are all far apart.
WIDE_GAP_OFFSETS, MOST_CUTS = 10_000, 7


class Placed(Protocol):
    """Something about one delivery, which says where that lies."""

    @property
    def client(self) -> str:
        """The client's id."""

    @property
    def offset(self) -> int:
        """The event's offset."""


PlacedT = TypeVar("PlacedT", bound=Placed)


def chunks(deliveries: Sequence[PlacedT], *, most: int = CHUNK_DELIVERIES) -> Iterator[Sequence[PlacedT]]:
    """Yield these in the order of their offsets, cut in the widest gaps, and no more than `most` at once."""
    ordered = sorted(deliveries, key=attrgetter("offset"))
    ends = [*(_cuts(ordered) if ordered else ()), len(ordered)]
    for first, end in pairwise([0, *ends]):
        for nth in range(first, end, most):
            yield ordered[nth : min(end, nth + most)]


def _cuts(ordered: Sequence[Placed]) -> list[int]:
    """Return where the widest gaps are; mostly all lie so close together that none can be wide."""
    if ordered[-1].offset - ordered[0].offset <= WIDE_GAP_OFFSETS:
        return []
    gaps = ((b.offset - a.offset, nth) for nth, (a, b) in enumerate(pairwise(ordered), start=1))
    return sorted(nth for gap, nth in nlargest(MOST_CUTS, gaps) if gap > WIDE_GAP_OFFSETS)


def range_of(deliveries: Sequence[Placed]) -> dict[str, object]:
    """Return the binds that say where a statement has to look for a chunk."""
    among = list(dict.fromkeys([delivery.client for delivery in deliveries]))
    return {"among": among, "first": deliveries[0].offset, "last": deliveries[-1].offset}
