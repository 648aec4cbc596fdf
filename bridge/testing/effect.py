"""What a handler that a test calls does in the test's own transaction: `bridge.transaction` is a savepoint in it.

There is no delivery whose end could be committed with the handler's writes. Leaving the block keeps the writes, and an
exception takes them back, as in production.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from bridge.errors import UsageError
from bridge.store.callers import is_djangos

IN_ERROR = int(psycopg.pq.TransactionStatus.INERROR)


@contextmanager
def effect_in(connection: Any, on: Any) -> Iterator[Any]:
    """Run a handler's writes.

    Args:
        connection: The test's.
        on: What the handler gave to `bridge.transaction`.
    """
    if on is None and isinstance(connection, Connection):
        with Session(connection, join_transaction_mode="create_savepoint") as session, session.begin():
            yield session
        return
    given = on is not None
    on = connection if on is None else on
    if isinstance(on, Session):
        with on.begin_nested() if on.in_transaction() else on.begin():
            yield on
    elif isinstance(on, psycopg.Connection):
        with on.transaction():
            yield on
    elif given and is_djangos(on):
        from django.db import transaction

        with transaction.atomic(using=on.alias):
            yield on
    else:
        raise UsageError(
            "in a test, bridge.transaction needs a SQLAlchemy session, a psycopg connection or django.db.connection: "
            "give it one (`on`), or let the fixture `bridge_connection` be a SQLAlchemy connection or session"
        )


@contextmanager
def usable_after(connection: Any) -> Iterator[None]:
    """Call a handler, and let Django's connection be usable afterwards, also where an SQL error has broken it.

    In production the handler has a connection of its own, and such an error breaks nobody else's transaction. Here what
    the handler has written is taken back then, and else stays.
    """
    if not is_djangos(connection) or not connection.in_atomic_block or _is_broken(connection):
        yield
        return
    from django.db import transaction

    begun = transaction.savepoint(connection.alias)
    try:
        yield
    finally:
        if _is_broken(connection):
            transaction.set_rollback(False, connection.alias)
            transaction.savepoint_rollback(begun, connection.alias)
        else:
            transaction.savepoint_commit(begun, connection.alias)


def _is_broken(connection: Any) -> bool:
    """Tell whether Django or Postgres takes nothing more in this transaction; both drivers number its state alike."""
    return bool(connection.needs_rollback) or int(connection.connection.info.transaction_status) == IN_ERROR
