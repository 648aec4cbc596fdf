"""Tail: read the log as clients see it, without being one.

Only final events are read, so no event appears later below those that were read already.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from bridge.archive.places import Place
from bridge.model import Position
from bridge.operate.archived import with_archived
from bridge.store import Store
from bridge.store.clients import resolve_position
from bridge.store.events import LoggedEvent, events_after
from bridge.store.horizon import read_horizon

MOST_LAST_EVENTS = 10  # that are shown where neither a start nor a number is given
PAGE_EVENTS = 500
FOLLOW_POLL_SECONDS = 0.2


def tail(
    store: Store,
    *,
    topics: Sequence[str],
    start: Position | None = None,
    most: int | None = None,
    follow: bool = False,
    characters: int | None = None,
    archive: Place | None = None,
) -> Iterator[LoggedEvent]:
    """Yield final events whose topics match, oldest first.

    Args:
        store: The event log.
        topics: AMQP topic patterns.
        start: The first event that is wanted; None for the last events.
        most: How many; None for all from `start`, or for the last 10. To follow the last events has no end.
        follow: Wait for more at the end instead of returning.
        characters: Where payloads, and headers, are cut off; None: nowhere.
        archive: Where events are that were pruned; they are read only from a `start` on.
    """
    if start is not None:
        after = _before(store, start)
        if archive is not None:
            pages = partial(read_events, store, topics=topics, characters=characters)
            moment = start.since
            yield from islice(
                with_archived(
                    store,
                    archive,
                    pages,
                    after=after,
                    since=moment,
                    topics=topics,
                    characters=characters,
                    follow=follow,
                ),
                most,
            )
            return
        yield from read_events(store, after=after, topics=topics, most=most, follow=follow, characters=characters)
        return
    horizon = read_horizon(store)
    most = MOST_LAST_EVENTS if most is None else most
    found = read_last_events(store, topics=topics, most=most, characters=characters)
    yield from found
    if follow:
        after = found[-1].offset if found else horizon
        yield from read_events(store, after=after, topics=topics, follow=True, characters=characters)


def read_events(
    store: Store,
    *,
    after: int,
    topics: Sequence[str],
    most: int | None = None,
    follow: bool = False,
    characters: int | None = None,
) -> Iterator[LoggedEvent]:
    """Yield the final events after an offset whose topics match, page by page.

    Args:
        store: The event log.
        after: The last offset that is not wanted.
        topics: AMQP topic patterns.
        most: How many at most; None for all.
        follow: Wait for more at the end instead of returning.
        characters: Where payloads, and headers, are cut off; None: nowhere.
    """
    while most is None or most > 0:
        limit = PAGE_EVENTS if most is None else min(PAGE_EVENTS, most)
        # Read the horizon first. An event that becomes final after the page was read is missing from the page, though
        # it may lie below others that are in it: with a horizon that was read later, it would be left out for good.
        horizon = read_horizon(store)
        page = events_after(store, after=after, upto=horizon, topics=topics, most=limit, characters=characters)
        yield from page
        if most is not None:
            most -= len(page)
        if len(page) == limit:
            after = page[-1].offset
            continue
        after = max(after, horizon)
        if not follow:
            return
        time.sleep(FOLLOW_POLL_SECONDS)


def read_last_events(
    store: Store, *, topics: Sequence[str], most: int, characters: int | None = None
) -> list[LoggedEvent]:
    """Return the last `most` final events whose topics match, oldest first; look back only as far as needed."""
    if most == 0:
        return []
    horizon = read_horizon(store)
    back = most
    while True:
        after = max(horizon - back, -1)
        found = deque(read_events(store, after=after, topics=topics, characters=characters), maxlen=most)
        if len(found) == most or after == -1:
            return list(found)
        back *= 4


def _before(store: Store, start: Position) -> int:
    """Return the last offset that is not wanted; the one that `start` names is wanted."""
    if start.offset is not None:
        return start.offset - 1
    horizon = read_horizon(store)
    with store.reading() as connection:
        return resolve_position(connection, start, horizon=horizon)
