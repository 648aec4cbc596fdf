"""asyncpg: a connection, also one that a pool has given out."""

from __future__ import annotations

from typing import Any

from asyncpg import Connection
from asyncpg.pool import PoolConnectionProxy

from bridge.sql import for_asyncpg
from bridge.store.callers.way import Binds, Rows, Way


def way_of(cls: type) -> Way | None:
    """Return the way for a class of asyncpg; None if nothing can be run on it."""
    if issubclass(cls, Connection | PoolConnectionProxy):
        return Way(_run, _autocommits, asynchronous=True)
    return None


async def _run(connection: Any, name: str, binds: Binds) -> Rows:
    text, order = for_asyncpg(name)
    rows = await connection.fetch(text, *(binds[name] for name in order))
    return [tuple(row) for row in rows]


async def _autocommits(connection: Any) -> bool:
    return not connection.is_in_transaction()
