"""psycopg2: a connection or a cursor. A plain cursor of ours runs the statement, whatever the caller's cursor is."""

from __future__ import annotations

from typing import Any

from psycopg2 import extensions

from bridge.errors import InvalidTarget
from bridge.sql import for_psycopg2
from bridge.store.callers.way import Binds, Rows, Way


def way_of(cls: type) -> Way | None:
    """Return the way for a class of psycopg2; None if nothing can be run on it."""
    if issubclass(cls, extensions.connection):
        return Way(_run, _autocommits)
    if issubclass(cls, extensions.cursor):
        return Way(lambda cursor, *args: _run(cursor.connection, *args), lambda cursor: _autocommits(cursor.connection))
    return None


def _run(connection: Any, name: str, binds: Binds) -> Rows:
    if connection.async_:
        raise InvalidTarget("can't run on a psycopg2 connection with async=1: pass one that waits for its statements")
    with connection.cursor(cursor_factory=extensions.cursor) as cursor:
        cursor.execute(for_psycopg2(name), binds)
        return cursor.fetchall() if cursor.description else []


def _autocommits(connection: Any) -> bool:
    idle = connection.info.transaction_status == extensions.TRANSACTION_STATUS_IDLE
    return bool(connection.autocommit) and idle
