"""The SQL of the audit: what the tables say of one client in one moment, and what the log holds.

The first is one snapshot: every transaction that moves deliveries, lanes, parked events or the client's row holds that
row, so a snapshot sees all of it or nothing. The log is counted in slices, each in a transaction of its own: what is
final does not change any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.errors import UnknownClient
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.tally import Tally

SNAPSHOT_SECONDS = 30.0  # for each statement of the snapshot
SLICE_EVENTS = 50_000  # of the log in one statement: about 30 ms
BELOW_ALL, ABOVE_ALL = -1, 2**62  # offsets; one more, or less, is still a bigint


class Fault(NamedTuple):
    """Rows that contradict others: what kind of contradiction, how many, and the first of their offsets."""

    kind: str
    total: int
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What the tables say of a client in one moment.

    Attributes:
        counted_after: The offset behind which its ledger begins.
        counted: The events that passes handed over for the first time since then, by the ledger.
        uncounted: Those of them that were pruned.
        owed: The deliveries and parked events that there must be, by the ledger.
        there: Those that there are.
        in_lanes: The events above `counted_after` that wait in lanes.
        drawn: The last offset that was given to an event.
        pruned: The offset up to which events may be gone.
        open: Deliveries of the range.
        parked: Parked events of the range.
        waiting: Events of the range that wait in lanes.
        matching: How many of these three match.
        faults: Contradictions.
        suspects: Offsets above the cursor, handed over and in no table: each finished before an earlier one, or lost.
    """

    task: str | None
    offset: int
    dispatched: int
    epoch: int
    filter: str
    counted_after: int
    counted: Tally
    uncounted: Tally
    owed: Tally
    there: Tally
    in_lanes: Tally
    horizon: int
    drawn: int
    pruned: int
    open: int
    parked: int
    waiting: int
    matching: int
    faults: tuple[Fault, ...]
    suspects: tuple[int, ...]


class Stretch(NamedTuple):
    """What a stretch of the log holds: its events, and those that match."""

    events: int
    matching: Tally


def take_moment(store: Store, client: str, *, first: int, last: int, most: int) -> Moment:
    """Read what the tables say of a client now.

    Args:
        store: The event log and its clients.
        client: Id of a client.
        first: The first offset of the range.
        last: Its last one.
        most: Most offsets to name of each kind.

    Raises:
        UnknownClient: there is none of this id.
        StoreUnavailable: Postgres refused, dropped or timed out.
    """
    with store.snapshot(statement_seconds=SNAPSHOT_SECONDS) as connection:
        row = connection.execute(statement("audit/client"), {"client": client}).one_or_none()
        if row is None:
            raise UnknownClient(client)
        binds = {"client": client, "first": first, "last": last}
        faults = [Fault(kind, 1, ()) for kind in row.faults]
        for name in ("deliveries", "lanes", "aside"):
            faults += _faults(connection, name, {**binds, "most": most})
        counts = connection.execute(statement("audit/unfinished"), {**binds, "counted_after": row.counted_after}).one()
        suspects = connection.execute(statement("audit/suspects"), {"client": client, "most": most}).scalars()
        return Moment(
            task=row.task,
            offset=row.offset,
            dispatched=row.dispatched,
            epoch=row.epoch,
            filter=row.filter,
            counted_after=row.counted_after,
            counted=Tally(row.counted, int(row.counted_sum)),
            uncounted=Tally(row.uncounted, int(row.uncounted_sum)),
            owed=Tally(row.owed, int(row.owed_sum)),
            there=Tally(row.there, int(row.there_sum)),
            in_lanes=Tally(counts.in_lanes, int(counts.in_lanes_sum)),
            horizon=row.horizon,
            drawn=row.drawn,
            pruned=row.pruned,
            open=counts.open,
            parked=counts.parked,
            waiting=counts.waiting,
            matching=counts.matching,
            faults=tuple(faults),
            suspects=tuple(suspects),
        )


def count_stretch(store: Store, filter: str, *, after: int, upto: int, rest: Callable[[], None]) -> Stretch:
    """Count the events in (`after`, `upto`], which are final; call `rest` after each slice."""
    found = Stretch(0, Tally())
    for one in _slices(store, filter, after=after, upto=upto):
        found = Stretch(found.events + one.events, found.matching + one.matching)
        rest()
    return found


def read_uncounted(store: Store, client: str) -> Tally:
    """Return what pruning has taken from a client's ledger."""
    with store.reading() as connection:
        row = connection.execute(statement("audit/uncounted"), {"client": client}).one()
        return Tally(int(row.number), int(row.total))


def begin_ledger(connection: Connection, client: str) -> None:
    """Begin a client's ledger anew, from what its tables hold now."""
    connection.execute(statement("operate/begin_ledger"), {"client": client})


def _slices(store: Store, filter: str, *, after: int, upto: int) -> Iterator[Stretch]:
    while after < upto:
        binds = {"after": after, "upto": upto, "slice": SLICE_EVENTS, "filter": filter}
        with store.reading() as connection:
            row = connection.execute(statement("audit/slice"), binds).one()
        yield Stretch(int(row.events), Tally(int(row.matching), int(row.total)))
        after = upto if row.events < SLICE_EVENTS else row.last


def _faults(connection: Connection, name: str, binds: dict[str, object]) -> list[Fault]:
    rows = connection.execute(statement(f"audit/{name}"), binds)
    return [Fault(row.kind, row.total, tuple(row.offsets)) for row in rows]
