"""Run a statement on a connection that the caller brought: psycopg's, or SQLAlchemy's connection or session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import psycopg
from sqlalchemy import Connection as SqlalchemyConnection
from sqlalchemy import CursorResult
from sqlalchemy.orm import Session, scoped_session

from bridge.errors import UsageError
from bridge.sql import for_psycopg, statement

CallersConnection: TypeAlias = psycopg.Connection[Any] | SqlalchemyConnection | Session | scoped_session[Any]


def run_on(connection: CallersConnection, name: str, binds: Mapping[str, Any]) -> Sequence[Any]:
    """Run a statement on the caller's connection, in the transaction that it is in, and return its rows.

    Raises:
        UsageError: the connection is of another kind, such as an asynchronous one; nothing was sent.
    """
    if isinstance(connection, SqlalchemyConnection | Session | scoped_session):
        result = connection.execute(statement(name), binds)
        return result.all() if isinstance(result, CursorResult) and result.returns_rows else []
    if isinstance(connection, psycopg.Connection):
        # A cursor class and a row factory of our own: the caller may have set others on the connection.
        with psycopg.Cursor(connection, row_factory=psycopg.rows.tuple_row) as cursor:
            cursor.execute(for_psycopg(name), binds)
            return cursor.fetchall() if cursor.description else []
    raise UsageError(
        f"can't run on a {type(connection).__name__}: pass a psycopg connection, or a SQLAlchemy connection or session"
    )
