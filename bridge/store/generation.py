"""The SQL of the log's generation."""

from __future__ import annotations

from bridge.sql import statement
from bridge.store.connect import Store


def read_generation(store: Store) -> int:
    """Read the generation that the log is in."""
    with store.reading() as connection:
        return int(connection.execute(statement("boot/generation")).scalar_one())
