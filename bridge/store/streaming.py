"""Rows that are read one by one as they come, in binary: of a long answer, no more than that is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg import capabilities
from psycopg.rows import TupleRow, tuple_row
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bridge.sql import for_psycopg
from bridge.store.sessions import is_harmless


def stream(connection: Connection, name: str, binds: Mapping[str, Any], *, together: int = 1) -> Iterator[TupleRow]:
    """Run a statement, and yield its rows; nothing else may use the connection until the last one.

    Args:
        connection: To run it on.
        name: Of the statement.
        binds: Of the statement.
        together: How many rows may be in memory at once, where libpq (17 and later) can fetch them together.

    Raises:
        DBAPIError: what SQLAlchemy raises for any other statement; a session that is of no use any more is discarded.
    """
    with _cursor(connection, name) as cursor:
        size = together if capabilities.has_stream_chunked() else 1
        yield from cursor.stream(for_psycopg(name), binds, binary=True, size=size)


def stream_by(connection: Connection, name: str, binds: Mapping[str, Any], *, rows: int) -> Iterator[TupleRow]:
    """Do the same in a transaction, so many rows to a statement: each may take as long as the session's limit says."""
    with _cursor(connection, name) as cursor:
        cursor.execute(b"DECLARE bridge_rows NO SCROLL CURSOR FOR " + for_psycopg(name), binds)
        found = rows
        while found == rows:
            found = 0
            for found, row in enumerate(cursor.stream(b"FETCH %d FROM bridge_rows" % rows, binary=True), 1):  # noqa: B007
                yield row
        cursor.execute("CLOSE bridge_rows")


@contextmanager
def _cursor(connection: Connection, name: str) -> Iterator[psycopg.Cursor[TupleRow]]:
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    try:
        with psycopg.Cursor(driver, row_factory=tuple_row) as cursor:
            yield cursor
    except psycopg.Error as error:
        if not is_harmless(error):
            connection.invalidate(error)
        raise DBAPIError.instance(name, None, error, psycopg.Error) from error
