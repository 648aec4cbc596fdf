"""Append events on an asynchronous connection of the caller's, as `publish` does on others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, overload

from bridge.event import Json, Key, NewEvent, NewEventTuple, Scheduled
from bridge.log import plan
from bridge.store.callers import Rows, Target, Way, way_of


@overload
async def apublish(
    target: Target,
    topic: str,
    payload: Json,
    *,
    key: Key | None = None,
    headers: Mapping[str, Any] | None = None,
    id: Key | None = None,
) -> int: ...
@overload
async def apublish(
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
async def apublish(
    target: Target,
    topic: str,
    payload: Json,
    *,
    key: Key | None = None,
    headers: Mapping[str, Any] | None = None,
    id: Key | None = None,
    deliver_at: datetime,
) -> Scheduled: ...
async def apublish(
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
    """Append one event in the caller's own transaction, as `bridge.publish` does, on an asynchronous connection.

    Args:
        target: An asynchronous connection or cursor of psycopg, a connection of asyncpg, also one that a pool has given
            out, or an asynchronous connection, session or scoped session of SQLAlchemy.
        topic: This and all others, what is returned and what is raised are as for `bridge.publish`.
        payload: Likewise.
        key: Likewise.
        headers: Likewise.
        id: Likewise.
        deliver_after: Likewise.
        deliver_at: Likewise.
    """
    way = way_of(target, asynchronous=True)
    event = NewEvent(topic, payload, key, headers, id)
    step = plan.one(event, deliver_after=deliver_after, deliver_at=deliver_at)
    with plan.telling:
        rows = await _run(way, target, step)
    return plan.offset_or_scheduled(step, rows)


async def apublish_many(target: Target, events: Iterable[NewEvent | NewEventTuple]) -> list[int]:
    """Append many events as `bridge.publish_many` does, on an asynchronous connection as `bridge.apublish` takes it."""
    way = way_of(target, asynchronous=True)
    steps = plan.many(events)
    if len(steps) > 1 and await way.autocommits(target):
        plan.refuse_in_part(steps)
    found: list[int] = []
    with plan.telling:
        for step in steps:
            found += plan.offsets(step, await _run(way, target, step))
    return found


async def _run(way: Way, target: Target, step: plan.Step) -> Rows:
    """Run a statement in whatever encoding the session has."""
    try:
        return await way.run(target, step.name, step.binds)  # type: ignore[no-any-return]
    except UnicodeEncodeError:  # by the driver, which has sent nothing
        name, binds = plan.in_ascii(step)
        return await way.run(target, name, binds)  # type: ignore[no-any-return]
