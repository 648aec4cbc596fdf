"""The SQL of the horizon: the highest offset that is final. No event at or below it can appear any more."""

from __future__ import annotations

from typing import NamedTuple

from bridge.mark import NOTHING_SEEN, Seen
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.repeated import run


class Final(NamedTuple):
    """What is final.

    Attributes:
        horizon: The highest offset.
        last: The last event up to it.
    """

    horizon: int
    last: Seen


def advance(store: Store) -> Final:
    """Move the horizon as far as it is final, and return it with the last event up to it.

    Raises:
        LogRewound: the sequence is behind the horizon; nothing moved.
    """
    with store.writing() as connection:
        row = run(connection, "pass/advance_horizon").one()
        return Final(row.horizon, NOTHING_SEEN if row.offset is None else Seen(row.offset, row.created_us))


def advance_horizon(store: Store) -> int:
    """Move the horizon as far as it is final, and return it.

    Raises:
        LogRewound: the sequence is behind the horizon; nothing moved.
    """
    return advance(store).horizon


def read_horizon(store: Store, *, wait_ms: int = 100) -> int:
    """Return what is final now, and write nothing: for those who may only read.

    Args:
        store: The event log.
        wait_ms: How long to wait for writers that are about to commit.
    """
    with store.reading() as connection:
        return int(connection.execute(statement("log/read_horizon"), {"wait_ms": wait_ms}).scalar_one())
