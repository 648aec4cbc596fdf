"""The SQL of scheduled events: they are listed, cancelled, erased, and appended to the log when they are due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.sql import statement
from bridge.store.connect import Store

MOST_COUNTED = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledEvent:
    """An event that is appended to the log when it is due. The names are the keys of `scheduled --json`.

    Attributes:
        number: Its number.
        due_at: When it is due, by the clock of Postgres.
        in_seconds: How long until then; negative where it is late.
        topic: Its topic.
        key: Its ordering key.
        id: Its publisher's name for it.
        created_at: When it was scheduled.
    """

    number: int
    due_at: datetime
    in_seconds: float
    topic: str
    key: str | None
    id: str | None
    created_at: datetime


class ScheduledCount(NamedTuple):
    """How many events are scheduled (at most 100,000 are counted), and in how many seconds the next one is due."""

    events: int
    next_in_seconds: float | None


class Appended(NamedTuple):
    """How many due events were appended, how many are held to be tried again, and what the last refusal said."""

    done: int
    held: int
    why: str | None


def list_scheduled(store: Store, *, most: int) -> list[ScheduledEvent]:
    """Return the events that are due next, in the order in which they are due."""
    with store.reading() as connection:
        rows = connection.execute(statement("look/list_scheduled"), {"most": most}).mappings()
        return [ScheduledEvent(**row) for row in rows]


def count_scheduled(store: Store) -> ScheduledCount:
    """Count the scheduled events."""
    with store.reading() as connection:
        return ScheduledCount(*connection.execute(statement("look/count_scheduled"), {"most": MOST_COUNTED}).one())


def cancel_scheduled(connection: Connection, *, numbers: Sequence[int], ids: Sequence[str]) -> list[int]:
    """Cancel events by their numbers and ids, and return the numbers of those that were there, in order."""
    binds = {"numbers": list(numbers), "ids": list(ids)}
    return sorted(connection.execute(statement("operate/cancel_scheduled"), binds).scalars())


def count_scheduled_of_key(store: Store, key: str) -> int:
    """Count the scheduled events of a key that have content to be erased."""
    with store.reading() as connection:
        return int(connection.execute(statement("look/count_scheduled_of_key"), {"key": key}).scalar_one())


def erase_scheduled(connection: Connection, key: str, *, pseudonym: str | None) -> tuple[int, int]:
    """Erase what the scheduled events of a key hold, and with a pseudonym their keys and ids too.

    Returns:
        How many had content, and how many have the pseudonym now.
    """
    found = (
        connection.execute(statement("operate/erase_scheduled"), {"key": key, "pseudonym": pseudonym}).scalars().all()
    )
    return sum(found), len(found) if pseudonym else 0


def append_due(store: Store, *, most: int) -> Appended:
    """Append the scheduled events that are due to the log, at most so many and some 16 MiB.

    Raises:
        StoreRefused: Postgres refuses all of them, such as for want of rights; they stay scheduled.
    """
    with store.writing() as connection:
        return Appended(*connection.execute(statement("pass/append_due"), {"most": most}).one())
