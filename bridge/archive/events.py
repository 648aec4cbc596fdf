"""The archived events, as readers of the log want them: in its order, each once."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import count

from bridge.archive.files import Manifest, manifests, read_lines, write_file
from bridge.archive.lines import ArchivedEvent, event_of, line_of
from bridge.archive.places import Place


def archive_events(place: Place, events: Iterable[ArchivedEvent], *, log: str, generation: int) -> Manifest | None:
    """Write events into a file of an archive, and verify it; None if there are none."""
    lines = ((event.offset, line_of(event)) for event in events)
    return write_file(place, lines, kind="events", log=log, generation=generation)


def archived_events(place: Place, *, log: str, after: int = -1, upto: int | None = None) -> Iterator[ArchivedEvent]:
    """Yield the events of an archive in the order of their offsets, each once; only files that matter are opened.

    Args:
        place: Where the archive is.
        log: The log's id.
        after: The last offset that is not wanted.
        upto: The last one that is; None: all.
    """
    waiting = [
        manifest
        for manifest in manifests(place, log=log)
        if manifest.last > after and (upto is None or manifest.first <= upto)
    ][::-1]
    opened: list[tuple[int, int, ArchivedEvent, Iterator[ArchivedEvent]]] = []
    turn, told = count(), after
    while waiting or opened:
        while waiting and (not opened or waiting[-1].first <= opened[0][0]):
            _push(opened, next(turn), _events(place, waiting.pop()))
        if not opened:
            continue
        offset, _, event, rest = heapq.heappop(opened)
        if upto is not None and offset > upto:
            return
        if offset > told:  # else a run that was interrupted has archived it twice
            told = offset
            yield event
        _push(opened, next(turn), rest)


def _push(
    opened: list[tuple[int, int, ArchivedEvent, Iterator[ArchivedEvent]]], turn: int, rest: Iterator[ArchivedEvent]
) -> None:
    event = next(rest, None)
    if event is not None:
        heapq.heappush(opened, (event.offset, turn, event, rest))


def _events(place: Place, manifest: Manifest) -> Iterator[ArchivedEvent]:
    return map(event_of, read_lines(place, manifest))
