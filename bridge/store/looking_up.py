"""The SQL of looking one event or one key up: what the tables know of it at every client. It changes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.events import WHOLE, LoggedEvent
from bridge.store.locks import LOOK_LOCK_SECONDS

JOURNAL_ENTRIES = 10_000  # of each client that are looked through for a discard, the newest first
KEY_EVENTS = 10_000  # of a key that are looked at, and counted


class EventFound(NamedTuple):
    """One event of the log, and how far the log goes.

    Attributes:
        event: None where it is not in the log.
        generation: The log's generation to which its offset belongs.
        is_erased: Whether what it held was erased.
        horizon: The last event that is final.
        drawn: The last offset that was drawn.
        pruned: All events up to this one may be gone.
    """

    event: LoggedEvent | None
    generation: int
    is_erased: bool
    horizon: int
    drawn: int
    pruned: int


class EventAtClient(NamedTuple):
    """What the tables know of one event at one client; the names are those of `event_at_clients.sql`."""

    client: str
    is_reader: bool
    state: str
    offset: int
    dispatched: int
    counted_after: int
    matches: bool | None
    epoch: int | None = None
    attempt: int | None = None
    delivery: str | None = None
    sent_at: datetime | None = None
    due_at: datetime | None = None
    error_type: str | None = None
    error: str | None = None
    reason: str | None = None
    attempts: int | None = None
    parked_at: datetime | None = None
    parked_error_type: str | None = None
    parked_error: str | None = None
    redrive: bool | None = None
    held: bool | None = None
    lane: int | None = None
    blocker: int | None = None
    replay: int | None = None
    discarded_at: datetime | None = None
    discarded_by: str | None = None


class KeyAtClient(NamedTuple):
    """Where a key stands at one client. The names are the keys of `show --key --json`.

    Attributes:
        client: Id of the client.
        is_reader: Whether it is a plain SQL reader.
        state: `active`, `draining`, `paused` or `halted`.
        counted_after: Where its ledger begins: what lies below may have been passed over by a start or a seek.
        handled: The last event of the key that it has finished; None if there is none.
        open: Those that are open.
        parked: Those that are parked.
        waiting: How many were read, and wait for an earlier one of the key.
        unread: How many were not read yet.
    """

    client: str
    is_reader: bool
    state: str
    counted_after: int
    handled: int | None
    open: list[int]
    parked: list[int]
    waiting: int
    unread: int

    @property
    def has_more(self) -> bool:
        """Whether more wait, or are not read yet, than are counted."""
        return max(self.waiting, self.unread) >= KEY_EVENTS


def find_event(store: Store, offset: int, *, characters: int | None = None) -> EventFound:
    """Find an event in the log; its payload and headers are cut off after so many characters."""
    with store.looking(lock_seconds=LOOK_LOCK_SECONDS) as connection:
        binds = {"offset": offset, "characters": characters or WHOLE}
        row = dict(connection.execute(statement("look/event"), binds).mappings().one())
    known = {name: row.pop(name) for name in ("topic", "key", "payload_json", "headers_json", "created_at")}
    return EventFound(event=LoggedEvent(offset=offset, **known) if known["topic"] is not None else None, **row)


def event_at_clients(store: Store, offset: int, *, topic: str | None, key: str | None) -> list[EventAtClient]:
    """Tell what the tables know of an event at every client, in the order of their ids."""
    with store.looking(lock_seconds=LOOK_LOCK_SECONDS) as connection:
        binds = {"offset": offset, "topic": topic, "key": key, "entries": JOURNAL_ENTRIES}
        rows = connection.execute(statement("look/event_at_clients"), binds).mappings()
        return [EventAtClient(**row) for row in rows]


def key_at_clients(store: Store, key: str) -> list[KeyAtClient]:
    """Tell where a key stands at every client, in the order of their ids."""
    with store.looking(lock_seconds=LOOK_LOCK_SECONDS) as connection:
        rows = connection.execute(statement("look/key_at_clients"), {"key": key, "most": KEY_EVENTS}).mappings()
        return [KeyAtClient(**row) for row in rows]


def moment_before(store: Store, seconds: float) -> datetime:
    """Return the moment that was so many seconds ago by Postgres' clock."""
    with store.reading() as connection:
        found: datetime = connection.execute(statement("look/moment_before"), {"seconds": seconds}).scalar_one()
        return found
