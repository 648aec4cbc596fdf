"""The SQL of reading the log without being a client of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.sql import statement
from bridge.store.connect import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """An event of the log. The names are the keys of `tail --json`.

    Attributes:
        offset: Its place in the log.
        topic: Dotted words, such as `order.created`.
        key: Its ordering key; None if no order is needed.
        payload: Any JSON value.
        headers: A JSON object that travels with the event.
        created_at: When it was published.
    """

    offset: int
    topic: str
    key: str | None
    payload: Any
    headers: Mapping[str, Any]
    created_at: datetime


def events_after(store: Store, *, after: int, upto: int, topics: Sequence[str], most: int) -> list[LoggedEvent]:
    """Return the next events after an offset whose topics match, at most `most`, in the order of the log.

    Args:
        store: The event log.
        after: The last offset that is not wanted.
        upto: A horizon that was read before.
        topics: AMQP topic patterns.
        most: How many at most.
    """
    with store.reading() as connection:
        pattern = connection.execute(statement("log/topics_filter"), {"topics": list(topics)}).scalar_one()
        binds = {"after": after, "horizon": upto, "topics": pattern, "most": most}
        return [LoggedEvent(**row) for row in connection.execute(statement("log/tail"), binds).mappings()]
