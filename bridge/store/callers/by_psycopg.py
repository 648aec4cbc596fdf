"""psycopg 3: a connection or a cursor, also an asynchronous one.

A cursor of ours runs the statement: the caller may have set other cursor classes and row factories on the connection.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from bridge.sql import for_psycopg
from bridge.store.callers.way import Binds, Rows, Way


def way_of(cls: type) -> Way | None:
    """Return the way for a class of psycopg; None if nothing can be run on it."""
    if issubclass(cls, psycopg.Connection):
        return Way(_run, _autocommits)
    if issubclass(cls, psycopg.Cursor):
        return Way(lambda cursor, *args: _run(cursor.connection, *args), lambda cursor: _autocommits(cursor.connection))
    if issubclass(cls, psycopg.AsyncConnection):
        return Way(_arun, _aautocommits, asynchronous=True)
    if issubclass(cls, psycopg.AsyncCursor):
        return Way(
            lambda cursor, *args: _arun(cursor.connection, *args),
            lambda cursor: _aautocommits(cursor.connection),
            asynchronous=True,
        )
    return None


def _run(connection: psycopg.Connection[Any], name: str, binds: Binds) -> Rows:
    with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        cursor.execute(for_psycopg(name), binds)
        try:
            return cursor.fetchall()
        except psycopg.ProgrammingError as error:
            if _has_rows(cursor, error):
                raise
            return []


async def _arun(connection: psycopg.AsyncConnection[Any], name: str, binds: Binds) -> Rows:
    async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
        await cursor.execute(for_psycopg(name), binds)
        try:
            return await cursor.fetchall()
        except psycopg.ProgrammingError as error:
            if _has_rows(cursor, error):
                raise
            return []


def _has_rows(cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any], error: psycopg.ProgrammingError) -> bool:
    """Tell a statement that fails from one without rows; in pipeline mode this is known only after a fetch."""
    return error.sqlstate is not None or cursor.description is not None


def _autocommits(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    return connection.autocommit and connection.info.transaction_status is TransactionStatus.IDLE


async def _aautocommits(connection: psycopg.AsyncConnection[Any]) -> bool:
    return _autocommits(connection)
