"""The SQL of explaining where a client stands: it only looks, and collects what there is to know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bridge.errors import UnknownClient
from bridge.sql import statement
from bridge.store.connect import Store

MOST_EVENTS = 100_000  # events that are counted at most to say how far a client is behind: `status` and `explain`
MOST_KEYS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A delivery that is open; `due_seconds` until its lease, or its wait for the next attempt, ends."""

    offset: int
    epoch: int
    attempt: int
    state: str
    key: str | None
    age_seconds: float
    due_seconds: float
    error_type: str | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key that waits: its next event, and the event in its way; `parked` if that one waits for a person."""

    key: str
    offset: int | None
    blocker: int | None
    epoch: int | None
    attempt: int | None
    parked: bool | None
    reason: str | None
    redrive: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A transaction that the horizon waits for: a session's, or a prepared one, which has a `gid` and no `pid`."""

    pid: int | None
    application: str | None
    role: str | None
    client: str | None
    state: str | None
    age_seconds: float | None
    query_start: datetime | None
    query: str | None
    gid: str | None
    prepared_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A replay that is not at its end."""

    id: int
    epoch: int
    next: int
    upto: int
    per_second: float
    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the database knows about one client; the names are those of `standing.sql`."""

    client: str
    task: str | None
    queue: str
    state: str
    state_reason: str | None
    state_by: str | None
    state_at: datetime | None
    ordering: str
    window: int
    offset: int
    dispatched: int
    max_attempts: int
    trouble: str | None
    trouble_at: datetime | None
    horizon: int
    drawn: int
    pump_silent_seconds: float | None
    open: int
    retrying: int
    parked: int
    held: int
    redriving: int
    waiting: int
    unread: int
    unread_seconds: float | None
    oldest: Open | None = None
    next_retry: Open | None = None
    keys: tuple[Key, ...] = ()
    holders: tuple[Holder, ...] = ()
    replays: tuple[Running, ...] = ()


def facts(store: Store, client: str) -> Facts:
    """Collect what there is to know about a client; changes nothing.

    Raises:
        UnknownClient: no such client.
    """
    with store.transaction() as connection:
        row = (
            connection.execute(statement("look/client_facts"), {"client": client, "most": MOST_EVENTS})
            .mappings()
            .one_or_none()
        )
        if row is None:
            raise UnknownClient(client)
        oldest = next_retry = None
        for found in connection.execute(statement("look/delivery_facts"), {"client": client}).mappings():
            values = dict(found)
            is_oldest, is_next = values.pop("oldest"), values.pop("next")
            oldest = Open(**values) if is_oldest else oldest
            next_retry = Open(**values) if is_next else next_retry
        keys = connection.execute(statement("look/key_facts"), {"client": client, "most": MOST_KEYS}).mappings()
        holders = connection.execute(statement("look/horizon_holders")).mappings()
        replays = connection.execute(statement("look/list_replays"), {"client": client}).mappings()
        return Facts(
            **row,
            oldest=oldest,
            next_retry=next_retry,
            keys=tuple(Key(**found) for found in keys),
            holders=tuple(Holder(**found) for found in holders),
            replays=tuple(Running(**found) for found in replays),
        )
