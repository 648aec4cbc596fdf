"""Append events to the log in the caller's own transaction: they exist when that commits, and only then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from bridge.event import Json, NewEvent
from bridge.log.encoding import encoded, encoded_together
from bridge.store.callers import CallersConnection, run_on
from bridge.tracing.context import with_trace, with_trace_each

NewEventTuple: TypeAlias = (
    tuple[str, Json] | tuple[str, Json, str | None] | tuple[str, Json, str | None, Mapping[str, Any] | None]
)


def publish(
    connection_or_session: CallersConnection,
    topic: str,
    payload: Json,
    *,
    key: str | None = None,
    headers: Mapping[str, Any] | None = None,
) -> int:
    """Append one event in the caller's own transaction: it exists when that commits, and only then.

    Args:
        connection_or_session: A psycopg connection, or a SQLAlchemy connection, session or scoped session, on the
            bridge's database.
        topic: Dotted words, such as `order.created`; at most 255 characters.
        payload: Anything that is JSON: dict, list, str, int, float, bool or None; at most 200 levels deep, and 32 MiB.
        key: Events of one key reach a client in order, one at a time; None if no order is needed. At most 512
            characters.
        headers: A JSON object that travels with the event; at most 64 KiB. Where this process is traced by
            OpenTelemetry or Sentry, the current trace context is added to it, unless it has one.

    Returns:
        The event's offset. It may be delivered before a lower one that commits later.

    Raises:
        InvalidEvent: the event can't be stored; nothing was sent, the transaction is as it was.
        UsageError: the connection is of another kind; nothing was sent.
        Exception: Postgres refused or dropped: the driver's own error, as any statement on this connection raises it.
    """
    event = NewEvent(topic, payload, key, with_trace(headers))
    [(offset,)] = run_on(connection_or_session, "log/publish", encoded(event))
    return int(offset)


def publish_many(connection_or_session: CallersConnection, events: Iterable[NewEvent | NewEventTuple]) -> list[int]:
    """Append many events, in order, in the caller's own transaction: in one statement up to 32 MiB of JSON.

    Args:
        connection_or_session: As for `publish`.
        events: `NewEvent`s, or tuples of topic, payload and optionally key and headers. They are read once; none at
            all are fine, and nothing is sent.

    Returns:
        The offsets, in the order of the events.

    Raises:
        InvalidEvent: one of the events can't be stored, the message says which; nothing was sent.
        UsageError: the connection is of another kind; nothing was sent.
        Exception: Postgres refused or dropped: the driver's own error, as any statement on this connection raises it.
    """
    texts = encoded_together(with_trace_each(events))  # all of them first: where one can't be stored, none is sent
    rows = [row for text in texts for row in run_on(connection_or_session, "log/publish_many", {"events": text})]
    # Postgres draws the offsets in the order of the events, but may return the rows in another.
    return sorted(offset for (offset,) in rows)
