"""The SQL of reading the log without being a client of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from bridge.bounds import BATCH_BYTES
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.streaming import stream

WHOLE = 2_000_000_000  # characters: no event has so many


FAR_EVENTS = 10_000  # a shorter way is read as it is
LOOKED_AT_ONCE = 50_000  # events in one statement, where no index helps
TOPICS_LOOKED_AT = 1000  # of the log: beyond so many different ones they are not looked through
FEW_TOPICS = 20  # that are each read by the index


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


COLUMNS = tuple(field.name for field in fields(LoggedEvent))  # of the statements that read events


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events to read.

    Attributes:
        topics: AMQP topic patterns, one of which must match.
        also: More of them, one of which must match too.
        key: Their key; None for any.
        characters: Where payloads, and headers, are cut off; None: nowhere.
    """

    topics: tuple[str, ...] = ("#",)
    also: tuple[str, ...] = ("#",)
    key: str | None = None
    characters: int | None = None

    @property
    def all(self) -> bool:
        """Whether every event is wanted."""
        return self.key is None and "#" in self.topics and "#" in self.also


class Page(NamedTuple):
    """Events in the order of the log, how far it was looked through, and whether more were found than fit."""

    events: list[LoggedEvent]
    upto: int
    cut: bool


def topics_pattern(store: Store, topics: Sequence[str]) -> str:
    """Return topic patterns as one regular expression over '.' and the topic, for Postgres and for Python."""
    with store.reading() as connection:
        return str(connection.execute(statement("log/topics_filter"), {"topics": list(topics)}).scalar_one())


def events_after(store: Store, wanted: Wanted, *, after: int, upto: int, most: int) -> Page:
    """Return the next events after an offset that are wanted, at most `most`, in the order of the log.

    Of large ones there are fewer: `BATCH_BYTES` together, or a single one.

    Events of a key are found by the index of keys, and those of few topics by the index of topics. Otherwise at most
    so many events are looked at that no single statement takes long: `upto` of the page says how far.

    Args:
        store: The event log.
        wanted: Which events.
        after: The last offset that is not wanted.
        upto: A horizon that was read before.
        most: How many at most.
    """
    with store.reading() as connection:
        pattern, also = (
            connection.execute(statement("log/topics_filter"), {"topics": list(topics)}).scalar_one()
            for topics in (wanted.topics, wanted.also)
        )
        characters = wanted.characters or WHOLE
        binds: dict[str, Any] = {"after": after, "horizon": upto, "most": most, "characters": characters}
        name = "log/tail"
        if wanted.key is not None:
            name, binds = "log/tail_key", {**binds, "key": wanted.key, "topics": pattern, "also": also}
        elif (few := _few_topics(connection, wanted, pattern, also, far=upto - after)) is not None:
            name, binds = "log/tail_topics", {**binds, "names": few}
        else:
            upto = min(upto, max(after, _pruned(connection)) + LOOKED_AT_ONCE) if not wanted.all else upto
            binds |= {"horizon": upto, "topics": pattern, "also": also}
        found, cut = _fitting(stream(connection, name, binds))
    return Page(found, found[-1].offset if cut or len(found) == most else upto, cut)


def _fitting(rows: Iterable[Sequence[Any]]) -> tuple[list[LoggedEvent], bool]:
    """Return the first events that fit together, and whether there are others; to read past those is all they take."""
    found, left, cut = list[LoggedEvent](), BATCH_BYTES, False
    for row in rows:
        event = LoggedEvent(**dict(zip(COLUMNS, row, strict=True)))
        left -= len(event.payload_json) + len(event.headers_json)
        cut = cut or (left < 0 and bool(found))
        if not cut:
            found.append(event)
    return found, cut


def has_index(store: Store, wanted: Wanted) -> bool:
    """Tell whether these events are found by an index, however rare they are."""
    if wanted.all or wanted.key is not None:
        return True
    pattern, also = topics_pattern(store, wanted.topics), topics_pattern(store, wanted.also)
    with store.reading() as connection:
        return _few_topics(connection, wanted, pattern, also, far=FAR_EVENTS + 1) is not None


def _few_topics(connection: Connection, wanted: Wanted, pattern: str, also: str, *, far: int) -> list[str] | None:
    """Return the topics of the log that match, if they are few, and it is far enough for that to pay."""
    if wanted.all or far <= FAR_EVENTS:
        return None
    binds = {"topics": pattern, "also": also, "looked": TOPICS_LOOKED_AT, "most": FEW_TOPICS}
    found: list[str] | None = connection.execute(statement("log/topics_matching"), binds).scalar_one()
    return found


def _pruned(connection: Connection) -> int:
    return int(connection.execute(statement("archive/look_at_log")).one().pruned)
