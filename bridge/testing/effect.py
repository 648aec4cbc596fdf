"""`bridge.transaction` in a handler that a test calls: a savepoint in the test's own transaction.

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
    on = connection if on is None else on
    if isinstance(on, Session):
        with on.begin_nested() if on.in_transaction() else on.begin():
            yield on
    elif isinstance(on, psycopg.Connection):
        with on.transaction():
            yield on
    else:
        raise UsageError(
            "in a test, bridge.transaction needs a SQLAlchemy session or a psycopg connection: give it one (`on`), "
            "or let the fixture `bridge_connection` be a SQLAlchemy connection or session"
        )
