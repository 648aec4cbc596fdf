"""Tail: read the log as clients see it, without being one.

Only final events are read, so no event appears later below those that were read already.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from bridge.archive.places import Place
from bridge.model import Position
from bridge.operate.archived import with_archived
from bridge.operate.patience import Patience
from bridge.store import Store
from bridge.store.clients import resolve_position
from bridge.store.events import LoggedEvent, Page, Wanted, events_after, has_index
from bridge.store.horizon import read_horizon

MOST_LAST_EVENTS = 10  # that are shown where neither a start nor a number is given
PAGE_EVENTS = 500
FOLLOW_POLL_SECONDS = 0.2
LOOKED_BACK_EVENTS = 1_000_000  # for the last ones that are wanted, where no index finds them

Say = Callable[[str], object]


def tail(
    store: Store,
    wanted: Wanted,
    *,
    start: Position | None = None,
    most: int | None = None,
    follow: bool = False,
    archive: Place | None = None,
    say: Say | None = None,
) -> Iterator[LoggedEvent]:
    """Yield final events that are wanted, oldest first.

    Args:
        store: The event log.
        wanted: Which events.
        start: The first event that is wanted; None for the last events.
        most: How many; None for all from `start`, or for the last 10. To follow the last events has no end.
        follow: Wait for more at the end instead of returning, also while Postgres is away.
        archive: Where events are that were pruned; they are read only from a `start` on.
        say: Is told where the log was not looked through to its beginning.
    """
    if start is not None:
        after = _before(store, start)
        if archive is not None:
            pages = partial(read_events, store, wanted)
            found = with_archived(store, archive, pages, after=after, since=start.since, wanted=wanted, follow=follow)
            yield from islice(found, most)
            return
        yield from read_events(store, wanted, after=after, most=most, follow=follow)
        return
    horizon = read_horizon(store)
    last = read_last_events(store, wanted, most=MOST_LAST_EVENTS if most is None else most, say=say)
    yield from last
    if follow:
        after = last[-1].offset if last else horizon
        yield from read_events(store, wanted, after=after, follow=True, patience=Patience(has_read=True))


def read_events(
    store: Store,
    wanted: Wanted | None = None,
    *,
    after: int,
    most: int | None = None,
    follow: bool = False,
    patience: Patience | None = None,
) -> Iterator[LoggedEvent]:
    """Yield the final events after an offset that are wanted, page by page.

    Args:
        store: The event log.
        wanted: Which events; None for all.
        after: The last offset that is not wanted.
        most: How many at most; None for all.
        follow: Wait for more at the end instead of returning, also while Postgres is away.
        patience: Of who follows, and has read before.
    """
    wanted, patience = wanted or Wanted(), patience or Patience()
    usual = PAGE_EVENTS
    while most is None or most > 0:
        limit = usual if most is None else min(usual, most)
        read = partial(_read_page, store, wanted, after, limit)
        horizon, page = patience.read(read) if follow else read()
        yield from page.events
        if most is not None:
            most -= len(page.events)
        after = max(after, page.upto)
        usual = len(page.events) if page.cut else min(PAGE_EVENTS, 2 * limit)  # else large ones are read in vain
        if after < horizon:
            continue
        if not follow:
            return
        time.sleep(FOLLOW_POLL_SECONDS)


def _read_page(store: Store, wanted: Wanted, after: int, limit: int) -> tuple[int, Page]:
    """Return the horizon, and the next events that are wanted up to it.

    The horizon is read first. An event that becomes final after the page was read is missing from the page, though it
    may lie below others that are in it: with a horizon that was read later, it would be left out for good.
    """
    horizon = read_horizon(store)
    return horizon, events_after(store, wanted, after=after, upto=horizon, most=limit)


def read_last_events(store: Store, wanted: Wanted, *, most: int, say: Say | None = None) -> list[LoggedEvent]:
    """Return the last `most` final events that are wanted, oldest first; look back only as far as needed.

    Where no index finds them, a bounded part of the log is looked through.
    """
    if most == 0:
        return []
    horizon = read_horizon(store)
    back, furthest = most, horizon + 1
    if not has_index(store, wanted):
        furthest = min(furthest, LOOKED_BACK_EVENTS)
    while True:
        back = min(back, furthest)
        after = max(horizon - back, -1)
        found = deque(read_events(store, wanted, after=after), maxlen=most)
        if len(found) == most or back == furthest:
            break
        back *= 4
    if len(found) < most and after > -1 and say is not None:
        say(f"only the last {furthest:,} events were looked at: --from or --since looks further back")
    return list(found)


def _before(store: Store, start: Position) -> int:
    """Return the last offset that is not wanted; the one that `start` names is wanted."""
    if start.offset is not None:
        return start.offset - 1
    horizon = read_horizon(store)
    with store.reading() as connection:
        return resolve_position(connection, start, horizon=horizon)
