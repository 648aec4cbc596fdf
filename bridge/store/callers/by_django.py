"""Django: `connection`, `connections[alias]`, or a cursor of one; on psycopg 3 and on psycopg2."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.utils.connection import ConnectionProxy

from bridge.errors import InvalidTarget
from bridge.sql import for_psycopg2
from bridge.store.callers.way import Binds, Rows, Way


def way_of(cls: type) -> Way | None:
    """Return the way for a class of Django; None if nothing can be run on it."""
    if issubclass(cls, BaseDatabaseWrapper | ConnectionProxy):
        return Way(_run, _autocommits)
    if issubclass(cls, CursorWrapper):
        return Way(lambda cursor, *args: _run(cursor.db, *args), lambda cursor: _autocommits(cursor.db))
    return None


def _run(connection: Any, name: str, binds: Binds) -> Rows:
    if connection.vendor != "postgresql":
        raise InvalidTarget(
            f"can't run on Django's connection {connection.alias!r}, which is of {connection.vendor}: pass the one to "
            "the bridge's Postgres, as in django.db.connections['events']"
        )
    # Django's own cursor, so that its rules of transactions hold, and its debugging sees the statement.
    with connection.cursor() as cursor:
        cursor.execute(for_psycopg2(name), binds)
        return cursor.fetchall() if cursor.description else []


def _autocommits(connection: Any) -> bool:
    return bool(connection.get_autocommit()) and not connection.in_atomic_block
