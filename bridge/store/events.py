"""The SQL of reading the log without being a client of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.sql import statement
from bridge.store.connect import Store


def events_after(store: Store, *, after: int, topics: Sequence[str], most: int) -> list[dict[str, Any]]:
    """Return final events after an offset whose topics match, at most `most`, as mappings."""
    with store.reading() as connection:
        pattern = connection.execute(statement("log/topics_filter"), {"topics": list(topics)}).scalar_one()
        horizon = connection.execute(statement("log/read_horizon"), {"wait_ms": 0}).scalar_one()
        binds = {"after": after, "horizon": horizon, "topics": pattern, "most": most}
        return [dict(row) for row in connection.execute(statement("log/tail"), binds).mappings()]
