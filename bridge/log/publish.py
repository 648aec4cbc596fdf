"""Append events to the log in the caller's own transaction: they exist when that commits, and only then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from bridge.errors import UsageError
from bridge.event import Json, Key, NewEvent
from bridge.log.encoding import encoded, encoded_together
from bridge.store.callers import Target, way_of

NewEventTuple: TypeAlias = (
    tuple[str, Json] | tuple[str, Json, Key | None] | tuple[str, Json, Key | None, Mapping[str, Any] | None]
)


def publish(
    target: Target, topic: str, payload: Json, *, key: Key | None = None, headers: Mapping[str, Any] | None = None
) -> int:
    """Append one event in the caller's own transaction: it exists when that commits, and only then.

    Args:
        target: A connection or cursor of psycopg or psycopg2, a connection, session or scoped session of SQLAlchemy, or
            Django's `connection`, `connections[alias]` or cursor: on the bridge's database. Where it is in autocommit
            mode, and in no transaction, the event is committed at once.
        topic: Dotted words, such as `order.created`; at most 255 characters.
        payload: Anything that is JSON: dict, list, str, int, float, bool or None; and what `bridge.register_type` tells
            of, such as Decimal, datetime, UUID, Enum, dataclasses and models. At most 200 levels deep, and 32 MiB.
        key: Events of one key reach a client in order, one at a time; None if no order is needed. At most 512
            characters; of an int its digits, of a UUID its 36 characters.
        headers: A JSON object that travels with the event, for example a W3C `traceparent`; at most 64 KiB.

    Returns:
        The event's offset. It may be delivered before a lower one that commits later.

    Raises:
        InvalidEvent: the event can't be stored; nothing was sent, the transaction is as it was.
        InvalidTarget: nothing can be published on this, which is a TypeError too; nothing was sent.
        Exception: Postgres refused or dropped: the driver's own error, as any statement on this connection raises it.
    """
    way = way_of(target)
    [(offset,)] = way.run(target, "log/publish", encoded(NewEvent(topic, payload, key, headers)))
    return int(offset)


async def apublish(
    target: Target, topic: str, payload: Json, *, key: Key | None = None, headers: Mapping[str, Any] | None = None
) -> int:
    """Append one event in the caller's own transaction, as `publish` does, on an asynchronous connection.

    Args:
        target: An asynchronous connection or cursor of psycopg, a connection of asyncpg, also one that a pool has given
            out, or an asynchronous connection, session or scoped session of SQLAlchemy.
        topic: As for `publish`, and so are the others.
        payload: As for `publish`.
        key: As for `publish`.
        headers: As for `publish`.
    """
    way = way_of(target, asynchronous=True)
    [(offset,)] = await way.run(target, "log/publish", encoded(NewEvent(topic, payload, key, headers)))
    return int(offset)


def publish_many(target: Target, events: Iterable[NewEvent | NewEventTuple]) -> list[int]:
    """Append many events, in order, in the caller's own transaction: in one statement up to 32 MiB of JSON.

    Args:
        target: As for `publish`.
        events: `NewEvent`s, or tuples of topic, payload and optionally key and headers. They are read once; none at
            all are fine, and nothing is sent.

    Returns:
        The offsets, in the order of the events.

    Raises:
        InvalidEvent: one of the events can't be stored, the message says which; nothing was sent.
        InvalidTarget: nothing can be published on this; nothing was sent.
        UsageError: the events need more than one statement, and the connection would commit each by itself.
        Exception: Postgres refused or dropped: the driver's own error, as any statement on this connection raises it.
    """
    way = way_of(target)
    texts = encoded_together(events)  # all of them first: where one can't be stored, none is sent
    if len(texts) > 1 and way.autocommits(target):
        raise UsageError(_not_atomic(len(texts)))
    # Postgres draws the offsets in the order of the events, but may return the rows in another.
    return sorted(offset for text in texts for (offset,) in way.run(target, "log/publish_many", {"events": text}))


async def apublish_many(target: Target, events: Iterable[NewEvent | NewEventTuple]) -> list[int]:
    """Append many events as `publish_many` does, on an asynchronous connection as `apublish` takes it."""
    way = way_of(target, asynchronous=True)
    texts = encoded_together(events)
    if len(texts) > 1 and await way.autocommits(target):
        raise UsageError(_not_atomic(len(texts)))
    return sorted(
        [offset for text in texts for (offset,) in await way.run(target, "log/publish_many", {"events": text})]
    )


def _not_atomic(statements: int) -> str:
    return (
        f"these events need {statements} statements, and this connection commits each by itself: begin a transaction, "
        "so that all of them are published or none"
    )
