"""Remove old events that nobody needs any more, in small batches.

Each batch is a short transaction, and a pause follows that is longer than it took. So writers and passes wait for
nobody, and readers never notice. What somebody still needs stays: the trigger on the log refuses its removal, so no
mistake made here can lose an event (G1).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from bridge.errors import UsageError
from bridge.store import Store
from bridge.store.horizon import advance_horizon
from bridge.store.journal import WHOLE_LOG, note
from bridge.store.pruning import Bounds, Holding, free_events, read_bounds, remove_events, who_holds

BATCH_EVENTS = 1000
ARCHIVED_EVENTS = 20_000  # in one file of an archive
ARCHIVED_BYTES = 32 * 1024 * 1024  # of their payloads: all that is in a file is in memory until it is written
PAUSES = 2.0  # times as long as the batch before took
LONGEST_PAUSE_SECONDS = 1.0
MOST_EVENTS_COUNTED = 1_000_000  # by a dry run: this takes some seconds


class FreeRange(NamedTuple):
    """Events that are next to each other in the log, but for others that stay in between.

    Attributes:
        first: The first offset.
        last: The last one.
        offsets: Exactly the events that may be removed.
    """

    first: int
    last: int
    offsets: Sequence[int]


class Pruned(NamedTuple):
    """What pruning did, or would do.

    Attributes:
        events: How many events were removed.
        first: The offset of the first one; None where there was none.
        last: That of the last one.
        exact: Whether that is all; else a dry run has not counted further, or the time was over.
        held_by: Who keeps events that would be removed otherwise; who needs the oldest comes first.
        removed: Whether they are gone; false for a dry run.
    """

    events: int
    first: int | None
    last: int | None
    exact: bool
    held_by: Sequence[Holding]
    removed: bool


def free_ranges(
    store: Store, *, before: datetime | None, bounds: Bounds, after: int = -1, most: int | None = None
) -> Iterator[FreeRange]:
    """Yield what may be removed from the log, above an offset, at most `most` events at a time (1,000).

    It stops at the first range that has only events younger than `before`. One whose `created_at` is yet to come says
    nothing of those behind it. The bounds are those at the beginning: who has come since needs nothing below them, or
    the trigger on the log refuses the removal.
    """
    upto, most = min(bounds), most or BATCH_EVENTS
    while True:
        looked = free_events(store, after=after, upto=upto, before=before, most=most, bytes=ARCHIVED_BYTES)
        if looked.offsets:
            yield FreeRange(looked.offsets[0], looked.offsets[-1], looked.offsets)
        if looked.last is None or looked.young == looked.events or not looked.more:
            return
        after = looked.last


def prune(
    store: Store,
    *,
    before: datetime | None,
    keep: int | None,
    dry_run: bool = False,
    after: int = -1,
    seconds: float | None = None,
    first: Callable[[FreeRange], None] | None = None,
    by: str | None = None,
) -> Pruned:
    """Remove the events that are older than a moment and that nobody needs any more.

    Args:
        store: The event log and its clients.
        before: Remove only what was created earlier; None: whatever its age.
        keep: How many of the newest events stay in any case; None: none of them.
        dry_run: Only say what would be removed.
        after: Look only above this offset.
        seconds: How long it may go on; None: until it is done.
        first: What is to be done with a range before it is removed, such as to archive it. If it raises, the range
            stays in the log.
        by: Who the journal says has asked for it, before the first event goes; None: no entry.

    Raises:
        UsageError: somebody began to need an event meanwhile; what was removed until then is gone.
    """
    if before is None and keep is None:
        raise UsageError(
            "say what is to be removed: what is older than some time (--older-than SPAN), or all but the newest events "
            "(--keep N)"
        )
    advance_horizon(store)
    bounds, began = read_bounds(store, keep=keep), time.monotonic()
    events, lowest, highest, exact = 0, None, None, True
    most = BATCH_EVENTS if first is None else ARCHIVED_EVENTS
    for found in free_ranges(store, before=before, bounds=bounds, after=after, most=most):
        if by is not None and lowest is None and not dry_run:
            details = {"before": before and before.isoformat(timespec="seconds"), "keep": keep, "first": found.first}
            with store.transaction() as connection:
                note(connection, WHOLE_LOG, "prune", by=by, details=details)
        events += len(found.offsets) if dry_run else _remove(store, found, first)
        lowest, highest = found.first if lowest is None else lowest, found.last
        counted = dry_run and events >= MOST_EVENTS_COUNTED
        if counted or (seconds is not None and time.monotonic() - began > seconds):
            exact = False
            break
    held_by = who_holds(store, upto=bounds.upto, before=before) if bounds.held < bounds.upto else []
    return Pruned(events, lowest, highest, exact, held_by, not dry_run)


def _remove(store: Store, found: FreeRange, first: Callable[[FreeRange], None] | None) -> int:
    """Remove a range batch by batch, and let the others have their turn after each."""
    if first is not None:
        first(found)
    removed = 0
    for nth in range(0, len(found.offsets), BATCH_EVENTS):
        began = time.monotonic()
        removed += remove_events(store, found.offsets[nth : nth + BATCH_EVENTS])
        time.sleep(min(LONGEST_PAUSE_SECONDS, PAUSES * (time.monotonic() - began)))
    return removed
