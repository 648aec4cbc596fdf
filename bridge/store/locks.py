"""The SQL of locks: who keeps the bridge from reading a table, or makes its sessions wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.sql import statement
from bridge.store.connect import Store

LOOK_LOCK_SECONDS = 3.0  # a person who looks waits no longer than this for a lock
LOCKED_SECONDS = 2.0  # a transaction that is open for longer may be what somebody waited for
MOST_HOLDERS = 3
# Tables that no pass and no settling of an ordinary event reads: who locks one of them keeps only some others waiting.
BESIDE = frozenset(f"fq.{name}" for name in ("epochs", "event_ids", "holds", "journal", "settings", "uncounted"))
MOST_LOOKED_AT = 100  # to find these


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A transaction that others wait for: a session's, or a prepared one, which has a `gid` and no `pid`."""

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


class TableHolder(NamedTuple):
    """A transaction that lets nobody read a table; if `queued`, because a lock of all of the table waits for it."""

    table: str
    holder: Holder
    queued: bool = False


class StandbyWait(NamedTuple):
    """Commits that wait for a synchronous standby: see `look/standby_waits.sql`."""

    seconds: float
    commits: int
    names: str


def blockers(connection: Connection) -> tuple[Holder, ...]:
    """Return the transactions of others that hold up the bridge, the oldest first."""
    return tuple(Holder(**row) for row in connection.execute(statement("look/blockers")).mappings())


def standby_wait(connection: Connection) -> StandbyWait | None:
    """Return since when commits have waited for a synchronous standby; None where none has for long."""
    row = connection.execute(statement("look/standby_waits"), {"seconds": LOCKED_SECONDS}).one_or_none()
    return None if row is None else StandbyWait(*row)


def lock_holders(store: Store) -> list[TableHolder]:
    """Return the transactions that have locked more of the bridge's tables than reading takes, the oldest first.

    How old those of other roles are, a role without pg_read_all_stats is not told. These are looked for twice.
    """
    found = _lock_holders(store)
    if any(it.holder.age_seconds is None for it in found.values()):
        time.sleep(LOCKED_SECONDS)
        still = _lock_holders(store)
        found = {name: it for name, it in found.items() if it.holder.age_seconds is not None or name in still}
    return list(found.values())[:MOST_HOLDERS]


def _lock_holders(store: Store) -> dict[str, TableHolder]:
    """Return them by their virtual transactions."""
    with store.reading() as connection:
        binds = {"seconds": LOCKED_SECONDS, "most": MOST_LOOKED_AT}
        rows = [dict(row) for row in connection.execute(statement("look/lock_holders"), binds).mappings()]
    return {row.pop("transaction"): TableHolder(row.pop("table_name"), Holder(**row)) for row in rows}


def table_holders(store: Store, *, seconds: float = 0.0) -> list[TableHolder]:
    """Return the transactions that let nobody read one of the bridge's tables, the oldest first.

    Args:
        store: The event log.
        seconds: Only those that are open for so long.
    """
    with store.reading() as connection:
        rows = [dict(row) for row in connection.execute(statement("look/table_holders")).mappings()]
    found = [TableHolder(row.pop("table_name"), queued=row.pop("queued"), holder=Holder(**row)) for row in rows]
    return [it for it in found if it.holder.age_seconds is None or it.holder.age_seconds >= seconds]
