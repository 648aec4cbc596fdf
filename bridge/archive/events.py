"""The archived events, as readers of the log want them: in its order, each once, and only those that are the log's.

An offset may have been used twice, because a restore took the event away that had it first. The generation of each
line tells the two apart.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from bridge.archive.files import Manifest, manifests, read_lines, write_file
from bridge.archive.lines import ArchivedEvent, event_of, line_of
from bridge.archive.places import Place

FIRST_GENERATION = (0,)

# Of two lines of one event the erased one comes first: an erasure that was interrupted has left both.
Opened = tuple[int, bool, int, ArchivedEvent, Iterator[ArchivedEvent]]


def archive_events(place: Place, events: Iterable[ArchivedEvent], *, log: str, generation: int) -> Manifest | None:
    """Write events into a file of an archive, and verify it; None if there are none."""
    lines = ((event.offset, line_of(event)) for event in events)
    return write_file(place, lines, kind="events", log=log, generation=generation)


def archived_events(
    place: Place,
    *,
    log: str,
    starts: Sequence[int] = FIRST_GENERATION,
    after: int = -1,
    upto: int | None = None,
) -> Iterator[ArchivedEvent]:
    """Yield the events of an archive in the order of their offsets, each once; only files that matter are opened.

    Args:
        place: Where the archive is.
        log: The log's id.
        starts: The first offset of each of the log's generations: an event that a restore has taken from the log,
            and whose offset belongs to a later generation now, is left out.
        after: The last offset that is not wanted.
        upto: The last one that is; None: all.
    """
    waiting = [
        manifest
        for manifest in manifests(place, log=log)
        if manifest.last > after and (upto is None or manifest.first <= upto)
    ][::-1]
    opened: list[Opened] = []
    turn, told = count(), after
    while waiting or opened:
        while waiting and (not opened or waiting[-1].first <= opened[0][0]):
            _push(opened, next(turn), _events(place, waiting.pop(), starts))
        if not opened:
            continue
        offset, _, _, event, rest = heapq.heappop(opened)
        if upto is not None and offset > upto:
            return
        if offset > told:  # else a run that was interrupted has archived it twice
            told = offset
            yield event
        _push(opened, next(turn), rest)


def _push(opened: list[Opened], turn: int, rest: Iterator[ArchivedEvent]) -> None:
    event = next(rest, None)
    if event is not None:
        heapq.heappush(opened, (event.offset, not event.is_erased, turn, event, rest))


def _events(place: Place, manifest: Manifest, starts: Sequence[int]) -> Iterator[ArchivedEvent]:
    for event in map(event_of, read_lines(place, manifest)):
        if event.generation == bisect_right(starts, event.offset):
            yield event
