"""The SQL of the horizon: the highest offset that is final. No event at or below it can appear any more."""

from __future__ import annotations

from bridge.sql import statement
from bridge.store.connect import Store


def advance_horizon(store: Store) -> int:
    """Move the horizon as far as it is final, and return it.

    Raises:
        LogRewound: the sequence is behind the horizon; nothing moved.
    """
    with store.writing() as connection:
        return int(connection.execute(statement("pass/advance_horizon")).scalar_one())


def read_horizon(store: Store, *, wait_ms: int = 100) -> int:
    """Return what is final now, and write nothing: for those who may only read.

    Args:
        store: The event log.
        wait_ms: How long to wait for writers that are about to commit.
    """
    with store.reading() as connection:
        return int(connection.execute(statement("log/read_horizon"), {"wait_ms": wait_ms}).scalar_one())
