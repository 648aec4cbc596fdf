"""`bridge tail`: look at the log as clients see it, without being one.

Only final events are shown, so nothing appears later among what was printed already.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import click

from bridge.command.output import print_json
from bridge.command.parameters import as_json
from bridge.command.parameters import topics as patterns
from bridge.command.project import ready_store
from bridge.command.texts import event_line
from bridge.model import Position
from bridge.store import Store
from bridge.store.clients import resolve
from bridge.store.events import events_after
from bridge.store.horizon import advance_horizon

LAST = 10
PAGE = 500
POLL_SECONDS = 0.2


@click.command()
@click.option("--topics", type=patterns, default="#", metavar="P,P", help="Only these topics, as in order.*,invoice.#")
@click.option(
    "--from",
    "start",
    type=Position.parse,
    metavar="POSITION",
    help="Begin at an offset, a timestamp, `beginning`, or `now`.  [default: the last events]",
)
@click.option("--follow", "-f", is_flag=True, help="Wait for more events when the end is reached.")
@click.option(
    "-n",
    "most",
    type=click.IntRange(min=0),
    metavar="N",
    help="Show at most N events; without --from, the last N.  [default: all from there, or the last 10]",
)
@as_json
@click.pass_context
def tail(
    ctx: click.Context,
    /,
    *,
    topics: Sequence[str],
    start: Position | None,
    follow: bool,
    most: int | None,
    as_json: bool,
) -> None:
    """Show events of the log, oldest first.

    With --json, every event is one line, which `publish --many` can read.
    """
    store = ready_store(ctx)
    for event in _wanted(store, topics=topics, start=start, follow=follow, most=most):
        if as_json:
            print_json(event, indent=None)
        else:
            click.echo(event_line(event))


def events(
    store: Store, *, after: int, topics: Sequence[str], most: int | None = None, follow: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the final events after an offset whose topics match, page by page.

    Args:
        store: The event log.
        after: The last offset that is not wanted.
        topics: AMQP topic patterns.
        most: How many at most; None for all.
        follow: Wait for more at the end instead of returning.
    """
    while most is None or most > 0:
        limit = PAGE if most is None else min(PAGE, most)
        # The horizon first: what becomes final while the page is read may be missing from it, below what is not.
        horizon = advance_horizon(store)
        page = [e for e in events_after(store, after=after, topics=topics, most=limit) if e["offset"] <= horizon]
        yield from page
        if most is not None:
            most -= len(page)
        if len(page) == limit:
            after = page[-1]["offset"]
            continue
        after = max(after, horizon)
        if not follow:
            return
        time.sleep(POLL_SECONDS)


def last(store: Store, *, topics: Sequence[str], most: int) -> list[dict[str, Any]]:
    """The last `most` final events whose topics match, oldest first; looks back only as far as it must."""
    if most == 0:
        return []
    horizon = advance_horizon(store)
    back = most
    while True:
        after = max(horizon - back, -1)
        found = deque(events(store, after=after, topics=topics), maxlen=most)
        if len(found) == most or after == -1:
            return list(found)
        back *= 4


def _wanted(
    store: Store, *, topics: Sequence[str], start: Position | None, follow: bool, most: int | None
) -> Iterator[dict[str, Any]]:
    if start is not None:
        yield from events(store, after=_before(store, start), topics=topics, most=most, follow=follow)
        return
    horizon = advance_horizon(store)
    found = last(store, topics=topics, most=LAST if most is None else most)
    yield from found
    if follow:
        after = found[-1]["offset"] if found else horizon
        yield from events(store, after=after, topics=topics, follow=True)


def _before(store: Store, start: Position) -> int:
    """The last offset that is not wanted; the one that `start` names is."""
    if start.offset is not None:
        return start.offset - 1
    horizon = advance_horizon(store)
    with store.reading() as connection:
        return resolve(connection, start, horizon=horizon)
