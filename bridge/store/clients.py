"""The SQL of registering clients, and of listing them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection

from bridge.errors import ClientConflict, UsageError
from bridge.model import Position, Registration
from bridge.settings.client import DEFAULT_BRIDGE, SETTINGS, ClientSettings
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.horizon import advance_horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedClient:
    """A client as it is registered.

    Attributes:
        id: Its name.
        state: `active`, `draining`, `paused` or `halted`.
        offset: Its committed cursor: everything up to it is finished. -1 is the beginning of the log.
        settings: What it asks for: the names of `ClientSettings` and their values. The task of a plain SQL reader is
            None, and the rest of its settings have no effect.
    """

    id: str
    state: str
    offset: int
    settings: Mapping[str, Any]

    @property
    def is_reader(self) -> bool:
        """Whether it is a plain SQL reader, which the bridge does not drive."""
        return self.settings["task"] is None


class Registered(NamedTuple):
    """What a registration did.

    Attributes:
        created: Whether the client is new.
        offset: Its committed cursor. That of a client that existed has not moved.
        changed: The settings that changed: name to old and new value.
    """

    created: bool
    offset: int
    changed: Mapping[str, tuple[object, object]]


def register(
    store: Store,
    registration: Registration,
    *,
    bridge: str = DEFAULT_BRIDGE,
    replace_task: bool = False,
    lock_seconds: float | None = None,
) -> Registered:
    """Register a client, or change the settings that are given; never the cursor of one that exists.

    A row without a task, a plain SQL reader's, is taken over where its cursor stands.

    Args:
        store: The event log and its clients.
        registration: What was declared.
        bridge: The bridge that serves a new client, where the declaration names none.
        replace_task: Let an existing client call another task from now on.
        lock_seconds: How long to wait for another transaction that holds the client; None for the usual time.

    Raises:
        ClientConflict: the id calls another task already; nothing changed.
        InvalidClient: the settings contradict themselves; nothing changed.
    """
    horizon = advance_horizon(store)
    with store.transaction() as connection:
        if lock_seconds is not None:
            connection.execute(statement("boot/lock_limit"), {"lock_ms": str(round(lock_seconds * 1000))})
        rows = connection.execute(statement("operate/find_client"), {"client": registration.id})
        found = rows.mappings().one_or_none()
        before = _settings(registration.id, found) if found and found["task"] else None
        after = registration.applied_to(before, bridge=bridge)
        if before and before.task != after.task and not replace_task:
            raise ClientConflict(
                f"client {after.id!r} calls {before.task}, not {after.task}: "
                "use another id, or register it with --replace-task"
            )
        offset = resolve_position(connection, registration.start, horizon=horizon)
        binds = {name: getattr(after, name) for name in SETTINGS}
        binds |= {"id": after.id, "offset": offset, "routes": json.dumps(after.routes), "topics": list(after.topics)}
        cursor = connection.execute(statement("operate/save_client"), binds).scalar_one()
    changed = {
        name: (getattr(before, name), getattr(after, name))
        for name in SETTINGS
        if before and getattr(before, name) != getattr(after, name)
    }
    return Registered(created=found is None, offset=cursor, changed=changed)


def resolve_position(connection: Connection, position: Position, *, horizon: int) -> int:
    """Return the cursor of a position: the last offset that will not be delivered.

    Raises:
        UsageError: the offset is above the horizon, so events that are still to come would never be delivered.
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


def list_clients(store: Store) -> list[ListedClient]:
    """Return every client with its settings, in the order of their ids."""
    with store.reading() as connection:
        return [_listed(row) for row in connection.execute(statement("look/list_clients")).mappings()]


def _listed(row: Mapping[Any, Any]) -> ListedClient:
    # Not as `ClientSettings`: a row that plain SQL has made may hold what they refuse, and must be listed all the same.
    settings = {name: row[name] for name in SETTINGS}
    return ListedClient(id=row["id"], state=row["state"], offset=row["offset"], settings=settings)


def _settings(client: str, row: Mapping[Any, Any]) -> ClientSettings:
    values = {name: row[name] for name in SETTINGS}
    values["topics"] = tuple(values["topics"])
    values["routes"] = tuple((pattern, task) for pattern, task in values["routes"])
    return ClientSettings(id=client, **values)
