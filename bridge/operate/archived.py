"""Archived events beside those of the log: for `tail`, and for a replay, which puts them back into the log first.

A replay hands over what is in the log. So archived events go back there, at the offsets that they had, and everything
that can happen to an event can happen to them: retries, parking, redrive. A hold keeps them until the replay is
registered, which then holds them itself; `prune` removes them again behind it.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import takewhile
from uuid import uuid4

from bridge.archive.events import archived_events
from bridge.archive.files import manifests
from bridge.archive.lines import ArchivedEvent
from bridge.archive.places import Place
from bridge.store import Store
from bridge.store.archive import erase_again, log_identity, restore_events
from bridge.store.events import LoggedEvent, Wanted, topics_pattern
from bridge.store.holds import end_hold, save_hold

BATCH_EVENTS, BATCH_CHARACTERS = 500, 4_000_000  # that are put back in one transaction
HOLD_SECONDS = 3600  # at most from one batch to the next; a process that dies holds the log no longer

Pages = Callable[..., Iterator[LoggedEvent]]


def with_archived(
    store: Store,
    archive: Place,
    pages: Pages,
    *,
    after: int,
    since: datetime | None,
    wanted: Wanted,
    follow: bool,
) -> Iterator[LoggedEvent]:
    """Yield archived and logged events in the order of the log, each once.

    Args:
        store: The event log.
        archive: Where the archive is.
        pages: Reads the log: takes `after` and `follow`.
        after: The last offset that is not wanted.
        since: Only events that were created at or after this; None: by offset alone. The log does not know offsets of
            what was pruned.
        wanted: Which events.
        follow: Wait for more at the end.
    """
    topics, also = (re.compile(topics_pattern(store, patterns)) for patterns in (wanted.topics, wanted.also))
    began = after if since is None else -1
    while (log := log_identity(store)).pruned > began:  # it may be pruned on meanwhile
        archived = (
            as_logged(event, wanted.characters)
            for event in archived_events(archive, log=log.id, starts=log.starts, after=began, upto=log.pruned)
            if topics.search(f".{event.topic}")
            and also.search(f".{event.topic}")
            and (wanted.key is None or event.key == wanted.key)
            and (since is None or event.created_at >= since)
        )
        upto = log.pruned
        logged = takewhile(lambda event: event.offset <= upto, pages(after=max(began, after)))  # noqa: B023
        last = began
        for event in heapq.merge(archived, logged, key=lambda event: event.offset):
            if event.offset > last:
                last = event.offset
                yield event
        began = upto
    yield from pages(after=max(began, after), follow=follow)


def first_since(store: Store, archive: Place, since: datetime) -> int | None:
    """Return the offset of the first archived event that was created at or after a moment; None if there is none."""
    log = log_identity(store)
    events = archived_events(archive, log=log.id, starts=log.starts, upto=log.pruned)
    return next((event.offset for event in events if event.created_at >= since), None)


@contextmanager
def put_back(
    store: Store, archive: Place, *, first: int, upto: int, topics: Sequence[str] | None, by: str
) -> Iterator[int]:
    """Put the archived events of a range back into the log, and yield how many were not there.

    Nobody prunes them before the block is over.
    """
    name = f"replay-{uuid4()}"
    _hold(store, name, first=first, by=by)
    try:
        before = _files(store, archive)
        restored = _put_back(store, archive, name, first=first, upto=upto, topics=topics, by=by)
        if not before <= _files(store, archive):
            _erase_again(store, archive, first=first, upto=upto)
        yield restored
    finally:
        end_hold(store, name)


def _put_back(
    store: Store, archive: Place, name: str, *, first: int, upto: int, topics: Sequence[str] | None, by: str
) -> int:
    """Put them back batch by batch, and renew the hold with each."""
    log = log_identity(store)
    wanted = None if topics is None else re.compile(topics_pattern(store, topics))
    restored, batch, size = 0, list[ArchivedEvent](), 0
    upto = min(upto, log.pruned)
    for event in archived_events(archive, log=log.id, starts=log.starts, after=first - 1, upto=upto):
        if wanted is not None and not wanted.search(f".{event.topic}"):
            continue
        batch.append(event)
        size += len(event.payload_json) + len(event.headers_json)
        if len(batch) >= BATCH_EVENTS or size >= BATCH_CHARACTERS:
            restored, batch, size = restored + restore_events(store, batch), [], 0
            _hold(store, name, first=first, by=by)
    return restored + (restore_events(store, batch) if batch else 0)


def _files(store: Store, archive: Place) -> set[str]:
    """Name the files that count: an erasure takes the place of those that have the key."""
    return {manifest.file for manifest in manifests(archive, log=log_identity(store).id)}


def _erase_again(store: Store, archive: Place, *, first: int, upto: int) -> None:
    """Erase what was erased in the archive while it was put back: the erasure may have been done with the log."""
    log = log_identity(store)
    upto = min(upto, log.pruned)
    found = archived_events(archive, log=log.id, starts=log.starts, after=first - 1, upto=upto)
    erased = [event.offset for event in found if event.is_erased]
    for nth in range(0, len(erased), BATCH_EVENTS):
        erase_again(store, erased[nth : nth + BATCH_EVENTS])


def _hold(store: Store, name: str, *, first: int, by: str) -> None:
    """Keep the events from an offset on from being pruned for a while."""
    with store.transaction() as connection:
        save_hold(connection, name, offset=max(0, first), seconds=HOLD_SECONDS, by=by)


def as_logged(event: ArchivedEvent, characters: int | None) -> LoggedEvent:
    """Return an archived event as the log has its own; payload and headers are cut off there, None: nowhere."""
    return LoggedEvent(
        offset=event.offset,
        topic=event.topic,
        key=event.key,
        payload_json=event.payload_json[:characters],
        headers_json=event.headers_json[:characters],
        created_at=event.created_at,
    )
