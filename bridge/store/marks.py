"""The SQL of marks: what Postgres remembers of each broker that a bridge has worked with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from bridge.mark import Mark, Seen
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.wording import SAID_CHARACTERS, storable

LOCK_SECONDS = 3.0  # a comparison takes two round trips to the broker


@dataclass(frozen=True, slots=True, kw_only=True)
class OurMark:
    """What Postgres remembers of one broker.

    Attributes:
        broker: Its address.
        broker_id: As the broker's mark has it; None where no mark was written there yet.
        count: How often the mark was renewed; 0 where it never was.
        before: The nonce of the count before.
        fresh: Whether the broker has not been seen with this `broker_id` yet.
        seen: The last event of the log that the broker was known to have seen.
        holder: Who renewed it last, as user@host and pid.
        serving: Whether the bridge works with this broker.
        seen_seconds: Since it was renewed last, by Postgres' clock.
        lost_at: What was handed over until then is still to be recalled.
    """

    broker: str
    broker_id: str | None
    count: int
    nonce: str | None
    before: str | None
    fresh: bool
    system: int | None
    timeline: int | None
    seen: Seen
    holder: str | None
    serving: bool
    seen_seconds: float
    lost_at: datetime | None
    trouble: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFacts:
    """What the log is, which server has it, and how far clients have got.

    Attributes:
        log: What tells it from every other log.
        generation: The log's, from 1.
        pruned: Events up to this offset may be gone.
        dispatched: The highest of all clients.
        horizon: The last event that is final.
        system: Postgres' system identifier; None where it is not known.
        timeline: Postgres' timeline; None where it is not known.
        started: The start of the server, which tells whether it is the one of before.
    """

    log: str
    generation: int
    pruned: int
    dispatched: int
    horizon: int
    system: int | None
    timeline: int | None
    started: str


@dataclass(frozen=True, slots=True)
class Compared:
    """What another process has compared.

    Attributes:
        count: Of Postgres' mark.
        fine: Whether it was compared with this very server, a moment ago, and all fits.
        started: The start of this server.
    """

    count: int
    fine: bool
    started: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkStatus:
    """How a bridge and a broker get on. The names are keys of `status --json`.

    Attributes:
        bridge: The bridge's queue.
        broker: The broker's address.
        serving: Whether the bridge works with this broker.
        losses: How often the broker had lost messages.
        trouble_kind: Of the trouble: `mark-ahead`, `other-log` or `other-broker`.
        trouble: Why nothing is handed over or settled; None where all is well.
        recalling: Whether what the broker has lost is being handed over again.
    """

    bridge: str
    broker: str
    serving: bool
    losses: int
    trouble_kind: str | None
    trouble: str | None
    trouble_at: datetime | None
    recalling: bool
    seen_seconds: float


def peek(store: Store, *, bridge: str, broker: str, seconds: float) -> Compared | None:
    """Read whether another process has compared this broker a moment ago; None if none ever did."""
    with store.reading() as connection:
        binds = {"bridge": bridge, "broker": broker, "seconds": seconds}
        row = connection.execute(statement("marks/peek"), binds).mappings().one_or_none()
        return None if row is None else Compared(row["count"], bool(row["fine"]), row["started"])


@contextmanager
def comparing(store: Store, *, bridge: str, broker: str) -> Iterator[Connection]:
    """Open a transaction to compare in; the broker has a row then.

    Raises:
        StoreLocked: another process compares for longer than three seconds.
    """
    with store.writing() as connection:
        connection.execute(statement("marks/add"), {"bridge": bridge, "broker": broker})
    with store.transaction() as connection:
        yield connection


def lock_marks(connection: Connection, *, bridge: str) -> list[OurMark]:
    """Lock all marks of a bridge and return them, so that one process at a time compares."""
    binds = {"bridge": bridge, "lock_ms": str(round(LOCK_SECONDS * 1000))}
    marks = []
    for row in connection.execute(statement("marks/lock"), binds).mappings():
        values = dict(row)
        seen = Seen(values.pop("offset"), values.pop("created_us") or 0)
        marks.append(OurMark(**values, seen=seen))
    return marks


def log_facts(connection: Connection) -> LogFacts:
    """Read what the log is, which server has it, and how far clients have got."""
    return LogFacts(**connection.execute(statement("marks/log_facts")).mappings().one())


def event_at(connection: Connection, offset: int) -> Seen | None:
    """Return the event with this offset; None if there is none."""
    found = connection.execute(statement("marks/event_at"), {"offset": offset}).scalar_one_or_none()
    return None if found is None else Seen(offset, int(found))


def renew(connection: Connection, mark: Mark, *, broker: str, before: str | None, fresh: bool, holder: str) -> None:
    """Write a mark that was compared, and let this broker serve the bridge."""
    connection.execute(statement("marks/retire"), {"bridge": mark.bridge, "broker": broker})
    binds = {
        "bridge": mark.bridge,
        "broker": broker,
        "broker_id": mark.broker_id,
        "count": mark.count,
        "nonce": mark.nonce,
        "before": before,
        "fresh": fresh,
        "offset": mark.seen.offset,
        "created_us": mark.seen.created_us if mark.seen.offset >= 0 else None,
        "holder": holder,
    }
    connection.execute(statement("marks/renew"), binds)


def lose(connection: Connection, *, bridge: str, broker: str, why: str) -> None:
    """Note that the broker has lost messages, which are to be recalled, and write it into the journal."""
    connection.execute(statement("marks/lose"), {"bridge": bridge, "broker": broker, "why": why})
    note(connection, "broker-lost", {"bridge": bridge, "broker": broker, "why": why})


def note(connection: Connection, action: str, details: Mapping[str, Any]) -> None:
    """Write into the journal what has happened to the broker or the database, which is all clients' business."""
    connection.execute(statement("marks/note"), {"action": action, "details": json.dumps(details)})


def lost(store: Store, *, bridge: str, broker: str) -> tuple[datetime, str] | None:
    """Return until when what was handed over is to be recalled, and why; None if there is nothing to recall."""
    with store.reading() as connection:
        row = connection.execute(statement("marks/lost"), {"bridge": bridge, "broker": broker}).one_or_none()
        return None if row is None else (row.lost_at, row.lost_why)


def recalled(store: Store, *, bridge: str, broker: str, lost_at: datetime) -> None:
    """Note that everything that this loss took has been recalled."""
    with store.writing() as connection:
        binds = {"bridge": bridge, "broker": broker, "lost_at": lost_at}
        connection.execute(statement("marks/recalled"), binds)


def note_trouble(store: Store, *, bridge: str, broker: str, kind: str, trouble: str) -> None:
    """Note why the bridge has stopped at this broker."""
    with store.writing() as connection:
        binds = {"bridge": bridge, "broker": broker, "kind": kind, "trouble": storable(trouble, most=SAID_CHARACTERS)}
        connection.execute(statement("marks/note_trouble"), binds)


def list_marks(connection: Connection) -> Sequence[MarkStatus]:
    """List how bridges and brokers get on."""
    return [MarkStatus(**row) for row in connection.execute(statement("marks/list")).mappings()]
