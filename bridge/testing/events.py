"""What a test sees of an event that was published."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedEvent:
    """An event that was published in a test.

    Attributes:
        offset: Its place in the log.
        topic: Its topic.
        key: Its ordering key; None if it has none.
        payload: What was published, as JSON gives it back.
        headers: What was published beside it.
        created_at: When it was written.
    """

    offset: int
    topic: str
    key: str | None
    payload: Any
    headers: Mapping[str, Any]
    created_at: datetime


def events_of(rows: Iterable[Any]) -> list[PublishedEvent]:
    """Make events of the rows of `testing/published.sql`."""
    return [
        PublishedEvent(
            offset=offset,
            topic=topic,
            key=key,
            payload=json.loads(payload),
            headers=json.loads(headers),
            created_at=created_at,
        )
        for offset, topic, key, payload, headers, created_at in rows
    ]
