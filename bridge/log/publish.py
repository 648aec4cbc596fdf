"""Append events to the log in the caller's own transaction: they exist when that commits, and only then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, overload

from bridge.event import Json, Key, NewEvent, NewEventTuple, Scheduled
from bridge.log import plan
from bridge.store.callers import Rows, Target, Way, way_of


@overload
def publish(
    target: Target,
    topic: str,
    payload: Json,
    *,
    key: Key | None = None,
    headers: Mapping[str, Any] | None = None,
    id: Key | None = None,
) -> int: ...
@overload
def publish(
    target: Target,
    topic: str,
    payload: Json,
    *,
    key: Key | None = None,
    headers: Mapping[str, Any] | None = None,
    id: Key | None = None,
    deliver_after: timedelta | float,
) -> Scheduled: ...
@overload
def publish(
    target: Target,
    topic: str,
    payload: Json,
    *,
    key: Key | None = None,
    headers: Mapping[str, Any] | None = None,
    id: Key | None = None,
    deliver_at: datetime,
) -> Scheduled: ...
def publish(
    target: Target,
    topic: str,
    payload: Json,
    *,
    key: Key | None = None,
    headers: Mapping[str, Any] | None = None,
    id: Key | None = None,
    deliver_after: timedelta | float | None = None,
    deliver_at: datetime | None = None,
) -> int | Scheduled:
    """Append one event in the caller's own transaction: it exists when that commits, and only then.

    Args:
        target: A connection or cursor of psycopg or psycopg2, a connection, session or scoped session of SQLAlchemy, or
            Django's `connection`, `connections[alias]` or cursor: on the bridge's database. Where it is in autocommit
            mode, and in no transaction, the event is committed at once.
        topic: Dotted words, such as `order.created`; at most 255 characters.
        payload: Anything that is JSON: dict, list, str, int, float, bool or None. Decimal, datetime, date, time, UUID,
            Enum, dataclasses, attrs classes and pydantic models become JSON, and so do types that
            `bridge.register_type` tells of. At most 200 levels deep, and 32 MiB.
        key: Events of one key reach a client in order, one at a time; None if no order is needed. At most 512
            characters; of an int its digits, of a UUID its 36 characters.
        headers: A JSON object that travels with the event; at most 64 KiB. Where this process is traced by
            OpenTelemetry or Sentry, the current trace context is added to it, unless it has one.
        id: Your name for the event, at most 512 characters: of one id only one event is stored. The same id again
            returns the first event's offset, and writes nothing, for as long as that event is in the log.
        deliver_after: Append the event so long after now, a timedelta or seconds, and not before.
        deliver_at: Append the event at this moment, a datetime with a time zone, and not before.

    Returns:
        The event's offset. It may be delivered before a lower one that commits later. Of an event that is to be
        delivered later: a `bridge.Scheduled`, because its offset is drawn when it is due.

    Raises:
        InvalidEvent: the event can't be stored; nothing was sent, the transaction is as it was.
        InvalidTarget: nothing can be published on this, which is a TypeError too; nothing was sent.
        IdTaken: the id is that of an event with another topic; the transaction has to be rolled back.
        Exception: Postgres refused or dropped: the driver's own error, as any statement on this connection raises it.
    """
    way = way_of(target)
    event = NewEvent(topic, payload, key, headers, id)
    step = plan.one(event, deliver_after=deliver_after, deliver_at=deliver_at)
    with plan.telling:
        rows = _run(way, target, step)
    return plan.offset_or_scheduled(step, rows)


def publish_many(target: Target, events: Iterable[NewEvent | NewEventTuple]) -> list[int]:
    """Append many events, in order, in the caller's own transaction: in one statement up to 32 MiB of JSON.

    Args:
        target: As for `publish`.
        events: `NewEvent`s, or tuples of topic, payload and optionally key and headers. They are read once; none at
            all are fine, and nothing is sent.

    Returns:
        The offsets, in the order of the events; of one whose id is there already, that of the first event.

    Raises:
        InvalidEvent: one of the events can't be stored, the message says which; nothing was sent.
        InvalidTarget: nothing can be published on this; nothing was sent.
        UsageError: the events need more than one statement, and the connection would commit each by itself.
        IdTaken: an id is that of an event with another topic; the transaction has to be rolled back.
        Exception: Postgres refused or dropped: the driver's own error, as any statement on this connection raises it.
    """
    way = way_of(target)
    steps = plan.many(events)
    if len(steps) > 1 and way.autocommits(target):
        plan.refuse_in_part(steps)
    found: list[int] = []
    with plan.telling:
        for step in steps:
            found += plan.offsets(step, _run(way, target, step))
    return found


def _run(way: Way, target: Target, step: plan.Step) -> Rows:
    """Run a statement in whatever encoding the session has."""
    try:
        return way.run(target, step.name, step.binds)  # type: ignore[no-any-return]
    except UnicodeEncodeError:  # by the driver, which has sent nothing
        name, binds = plan.in_ascii(step)
        return way.run(target, name, binds)  # type: ignore[no-any-return]
