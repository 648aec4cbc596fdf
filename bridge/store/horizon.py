"""The SQL of the horizon: the highest offset that is final. No event at or below it can appear any more."""

from __future__ import annotations

from bridge.errors import StoreReadOnly
from bridge.sql import statement
from bridge.store.connect import Store


def advance_horizon(store: Store) -> int:
    """Move the horizon as far as it is final, and return it.

    Raises:
        LogRewound: the sequence is behind the horizon; nothing moved.
    """
    with store.writing() as connection:
        return int(connection.execute(statement("pass/advance_horizon")).scalar_one())


def look_at_horizon(store: Store) -> int:
    """Move the horizon on where Postgres takes writes, else only read it; return it.

    Raises:
        LogRewound: the sequence is behind the horizon; nothing moved.
    """
    try:
        return advance_horizon(store)
    except StoreReadOnly:
        with store.reading() as connection:
            return int(connection.execute(statement("log/read_horizon"), {"wait_ms": 0}).scalar_one())
