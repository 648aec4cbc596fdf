"""The SQL of registering clients, and of seeing where they stand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection

from bridge.errors import ClientConflict, UnknownClient, UsageError
from bridge.model import Position, Registration
from bridge.settings.client import SETTINGS, ClientSettings
from bridge.sql import statement
from bridge.store import outcomes
from bridge.store.connect import Store
from bridge.store.facts import MOST_EVENTS
from bridge.store.horizon import advance_horizon


class Registered(NamedTuple):
    """What a registration did: a new client, or the settings that changed (name to old and new value)."""

    created: bool
    offset: int
    changed: Mapping[str, tuple[object, object]]


def register(store: Store, registration: Registration, *, replace_task: bool = False) -> Registered:
    """Register a client, or change the settings that are given; never the cursor of one that exists.

    A row without a task, a plain SQL reader's, is taken over where its cursor stands.

    Args:
        store: The event log and its clients.
        registration: What was declared.
        replace_task: Let an existing client call another task from now on.

    Raises:
        ClientConflict: the id calls another task already; nothing changed.
        InvalidClient: the settings contradict themselves; nothing changed.
    """
    horizon = advance_horizon(store)
    with store.transaction() as connection:
        found = (
            connection.execute(statement("operate/find_client"), {"client": registration.id}).mappings().one_or_none()
        )
        before = _settings(registration.id, dict(found)) if found and found["task"] else None
        after = registration.applied_to(before)
        if before and before.task != after.task and not replace_task:
            raise ClientConflict(
                f"client {after.id!r} calls {before.task}, not {after.task}: "
                "use another id, or register it with --replace-task"
            )
        offset = resolve(connection, registration.start, horizon=horizon)
        binds = {name: getattr(after, name) for name in SETTINGS}
        binds |= {"id": after.id, "offset": offset, "routes": json.dumps(after.routes), "topics": list(after.topics)}
        cursor = connection.execute(statement("operate/save_client"), binds).scalar_one()
    changed = {
        name: (getattr(before, name), getattr(after, name))
        for name in SETTINGS
        if before and getattr(before, name) != getattr(after, name)
    }
    return Registered(created=found is None, offset=cursor, changed=changed)


def resolve(connection: Connection, position: Position, *, horizon: int) -> int:
    """The cursor of a position: the last offset that will not be delivered.

    Raises:
        UsageError: an offset above the horizon, which would skip events that are still to come.
    """
    if position.end:
        return horizon
    if position.since is not None:
        binds = {"since": position.since, "horizon": horizon}
        return int(connection.execute(statement("log/offset_since"), binds).scalar_one())
    if position.offset is not None and position.offset > horizon:
        raise UsageError(
            f"offset {position.offset} is above the horizon {horizon}: use `now` to begin behind the last event"
        )
    return -1 if position.offset is None else position.offset


def set_state(store: Store, client: str, *, state: str, reason: str, by: str) -> None:
    """Pause, resume or halt a client; what is in flight still commits.

    Raises:
        UnknownClient: no such client; nothing changed.
    """
    with store.transaction() as connection:
        if not outcomes.set_state(connection, client, state=state, reason=reason, by=by):
            raise UnknownClient(client)


def status(store: Store, client: str | None = None) -> list[dict[str, Any]]:
    """Where clients stand, one mapping each; the keys are those of `status.sql`.

    Raises:
        UnknownClient: no such client.
    """
    with store.reading() as connection:
        binds = {"client": client, "most": MOST_EVENTS}
        rows = [dict(row) for row in connection.execute(statement("look/status"), binds).mappings()]
    if client is not None and not rows:
        raise UnknownClient(client)
    return rows


def list_clients(store: Store) -> list[dict[str, Any]]:
    """The settings of every client, one mapping each."""
    with store.reading() as connection:
        rows = connection.execute(statement("look/list_clients")).mappings()
        return [{name: row[name] for name in ("id", *SETTINGS, "state", "offset")} for row in rows]


def _settings(client: str, row: Mapping[str, Any]) -> ClientSettings:
    values = {name: row[name] for name in SETTINGS}
    values["topics"] = tuple(values["topics"])
    values["routes"] = tuple((pattern, task) for pattern, task in values["routes"])
    return ClientSettings(id=client, **values)
