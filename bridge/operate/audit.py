"""Audit: prove from the tables that every event of a range is accounted for, or name those that are not.

Three things are compared. The rows of one moment with each other and with the log: a contradiction names its offsets.
The rows that there are with the ledger, which passes and outcomes keep in the client's row: a delivery or parked event
that is gone without an outcome is missing in one, and not in the other. And the ledger with the log: an event that was
never handed over is missing in one, and not in the other. Both keep the sum of offsets too, which names a single one.

It reads, and holds no lock. The log is read in slices, with a rest after each as long as the slice took.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from bridge.errors import UsageError
from bridge.operate.contradictions import Contradiction, ledger_against_log, ledger_against_rows, said
from bridge.store import Store
from bridge.store.audit import ABOVE_ALL, BELOW_ALL, Moment, begin_ledger, count_stretch, read_uncounted, take_moment
from bridge.store.held import hold_driven_client
from bridge.store.journal import note
from bridge.store.tally import Tally

MOST_NAMED = 100  # offsets of one kind of contradiction
FIRST_OFFSET = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Where the offsets of a range are; each is in one place, so together they are the range.

    Attributes:
        finished: Matching events that were handed over and stand in no table any more.
        open: Events that are open.
        parked: Events that are parked, and not open.
        waiting: Events that wait in a lane.
        filtered: Events that do not match.
        unread: Matching events that are not handed over yet.
        pruned: Offsets that may have been pruned, and are not in the log.
        unwritten: Offsets without an event: their transactions were rolled back.
    """

    finished: int
    open: int
    parked: int
    waiting: int
    filtered: int
    unread: int
    pruned: int
    unwritten: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What an audit found.

    Attributes:
        first: The first offset of the range.
        last: Its last one; at most the horizon.
        cursor: The client's cursor.
        dispatched: How far the log was handed over.
        counted_after: The offset behind which the client's ledger begins.
        counts: Where the offsets of the range are.
        contradictions: What does not add up; empty if all is well.
        notes: What was not compared, and why.
    """

    client: str
    first: int
    last: int
    cursor: int
    dispatched: int
    counted_after: int
    counts: Counts
    contradictions: tuple[Contradiction, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether everything adds up."""
        return not self.contradictions


def audit(store: Store, client: str, *, first: int | None = None, last: int | None = None) -> Audit:
    """Audit a client.

    Args:
        store: The event log and its clients.
        client: Id of a registered client.
        first: The first offset to look at; None for the first of the log.
        last: The last one; None for the horizon.

    Raises:
        UnknownClient: no such client.
        UsageError: it is a plain SQL reader, or the range is empty.
        StoreUnavailable: Postgres refused, dropped or timed out.
    """
    begin = FIRST_OFFSET if first is None else first
    before = read_uncounted(store, client)
    upto = ABOVE_ALL if last is None else last
    found = take_moment(store, client, first=first or BELOW_ALL, last=upto, most=MOST_NAMED)
    if found.task is None:
        raise UsageError(
            f"client {client!r} is a plain SQL reader: it moves its own cursor, so nothing is to be audited"
        )
    end = max(begin - 1, min(found.horizon, upto))
    if last is not None and last < begin:
        raise UsageError(f"there is nothing to audit: the range ends at {last}, before it begins at {begin}")
    counts, log = _count(store, found, first=begin, last=end)
    notes = tuple(_notes(found, first=begin, last=end, pruned_meanwhile=read_uncounted(store, client) != before))
    contradictions = [said(fault, found) for fault in found.faults]
    contradictions += ledger_against_rows(found)
    if not notes:
        contradictions += ledger_against_log(found, log)
    return Audit(
        client=client,
        first=begin,
        last=end,
        cursor=found.offset,
        dispatched=found.dispatched,
        counted_after=found.counted_after,
        counts=counts,
        contradictions=tuple(contradictions),
        notes=notes,
    )


def accept(store: Store, client: str, *, by: str) -> None:
    """Begin a client's ledger anew, from what its tables hold now: what was found missing counts as accepted.

    Raises:
        UnknownClient: no such client; nothing changed.
        UsageError: it is a plain SQL reader; nothing changed.
    """
    with store.transaction() as connection:
        held = hold_driven_client(connection, client)
        begin_ledger(connection, client)
        note(connection, client, "accept", by=by, details={"dispatched": held.dispatched, "open": held.open})


def _count(store: Store, found: Moment, *, first: int, last: int) -> tuple[Counts, Tally]:
    """Say where the offsets of a range are; return the matching events that the ledger is about, too."""
    events, matching, unread, log = 0, 0, 0, Tally()
    inner = {at for at in (found.counted_after, found.dispatched) if first - 1 < at < last}
    for after, upto in pairwise(sorted({first - 1, *inner, max(last, first - 1)})):
        one = count_stretch(store, found.filter, after=after, upto=upto, rest=_Rest())
        events += one.events
        if after >= found.dispatched:
            unread += one.matching.number
            continue
        matching += one.matching.number
        if after >= found.counted_after:
            log += one.matching
    in_tables = found.open + found.parked + found.waiting
    missing = last - first + 1 - events
    pruned = min(max(0, min(found.pruned, last) - first + 1), missing)
    counts = Counts(
        finished=matching - found.matching,
        open=found.open,
        parked=found.parked,
        waiting=found.waiting,
        filtered=events - matching - unread - (in_tables - found.matching),
        unread=unread,
        pruned=pruned,
        unwritten=missing - pruned,
    )
    return counts, log


def _notes(found: Moment, *, first: int, last: int, pruned_meanwhile: bool) -> Iterator[str]:
    """Say why the ledger is not compared with the log, where it is not."""
    begin = max(FIRST_OFFSET, found.counted_after + 1)
    if pruned_meanwhile:
        yield "the ledger was not compared with the log: events were pruned meanwhile"
    elif found.counted_after < found.dispatched and (first > begin or last < found.dispatched):
        yield (
            f"the ledger was not compared with the log: for that the range has to cover {begin} to {found.dispatched}"
        )


class _Rest:
    """Rest after each slice for as long as it took, so that an audit takes half of a core at most."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self) -> None:
        time.sleep(min(1.0, time.monotonic() - self._began))
        self._began = time.monotonic()
