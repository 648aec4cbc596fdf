"""The SQL of reading the log without being a client of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.sql import statement
from bridge.store.connect import Store

WHOLE = 2_000_000_000  # characters: no event has so many


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """An event of the log.

    The log holds more than Python can read: numbers of any length, any number of levels. So payload and headers are
    texts, which are parsed only where somebody asks for the value.

    Attributes:
        offset: Its place in the log.
        topic: Dotted words, such as `order.created`.
        key: Its ordering key; None if no order is needed.
        payload_json: Any JSON value, as text.
        headers_json: A JSON object that travels with the event, as text.
        created_at: When it was published.
    """

    offset: int
    topic: str
    key: str | None
    payload_json: str
    headers_json: str
    created_at: datetime

    @property
    def payload(self) -> Any:
        """The payload as a Python value.

        Raises:
            ValueError, RecursionError: Python can't read it, or it was cut off.
        """
        return json.loads(self.payload_json)

    @property
    def headers(self) -> Mapping[str, Any]:
        """The headers as a Python value; the same errors can occur."""
        value: Mapping[str, Any] = json.loads(self.headers_json)
        return value


def topics_pattern(store: Store, topics: Sequence[str]) -> str:
    """Return topic patterns as one regular expression over '.' and the topic, for Postgres and for Python."""
    with store.reading() as connection:
        return str(connection.execute(statement("log/topics_filter"), {"topics": list(topics)}).scalar_one())


def events_after(
    store: Store, *, after: int, upto: int, topics: Sequence[str], most: int, characters: int | None = None
) -> list[LoggedEvent]:
    """Return the next events after an offset whose topics match, at most `most`, in the order of the log.

    Args:
        store: The event log.
        after: The last offset that is not wanted.
        upto: A horizon that was read before.
        topics: AMQP topic patterns.
        most: How many at most.
        characters: Where payloads, and headers, are cut off; None: nowhere.
    """
    with store.reading() as connection:
        pattern = connection.execute(statement("log/topics_filter"), {"topics": list(topics)}).scalar_one()
        binds = {"after": after, "horizon": upto, "topics": pattern, "most": most, "characters": characters or WHOLE}
        return [LoggedEvent(**row) for row in connection.execute(statement("log/tail"), binds).mappings()]
