"""The SQL of registering clients, and of listing them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection

from bridge.errors import ClientConflict, UsageError
from bridge.model import Position, Registration
from bridge.settings.client import DEFAULT_BRIDGE, SETTINGS, ClientSettings
from bridge.sql import statement
from bridge.store.connect import Store
from bridge.store.horizon import advance_horizon

OLDEST_LOOKED_AT = 100_000  # events, to find what was created at a time: see offset_since.sql


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
        settings: What it is registered with now.
    """

    created: bool
    offset: int
    changed: Mapping[str, tuple[object, object]]
    settings: ClientSettings


class DeclaredClient(NamedTuple):
    """A client that the code of an app has declared, now or earlier.

    Attributes:
        id: Its name.
        offset: Its committed cursor.
        open: How many deliveries it has.
        parked: How many events are parked for it.
    """

    id: str
    offset: int
    open: int
    parked: int


def register(
    store: Store,
    registration: Registration,
    *,
    bridge: str = DEFAULT_BRIDGE,
    by: str = "bridge",
    replace_task: bool = False,
    lock_seconds: float | None = None,
) -> Registered:
    """Register a client, or change the settings that are given; never the cursor of one that exists.

    A row without a task, a plain SQL reader's, is taken over where its cursor stands.

    Args:
        store: The event log and its clients.
        registration: What was declared.
        bridge: The bridge that serves a new client, where the declaration names none.
        by: Who does it, for the journal.
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
        done = _saved(connection, registration, bridge=bridge, by=by, replace_task=replace_task, horizon=horizon)
        if done is None:  # somebody has registered it at this moment: now it is found, and locked
            done = _saved(connection, registration, bridge=bridge, by=by, replace_task=replace_task, horizon=horizon)
    assert done is not None
    return done


def _saved(
    connection: Connection, registration: Registration, *, bridge: str, by: str, replace_task: bool, horizon: int
) -> Registered | None:
    """Save a client as it is declared, on top of what it is now; None if another one has come that was not there."""
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
    binds |= {"headers": list(after.headers), "declared_by": registration.declared_by, "new": found is None}
    connection.execute(statement("operate/act_as"), {"by": by})
    cursor = connection.execute(statement("operate/save_client"), binds).scalar_one_or_none()
    if cursor is None:
        return None
    changed = {
        name: (getattr(before, name), getattr(after, name))
        for name in SETTINGS
        if before and getattr(before, name) != getattr(after, name)
    }
    return Registered(created=found is None, offset=cursor, changed=changed, settings=after)


def note_undeclared(
    store: Store, app: str, declared: Iterable[str], *, bridge: str, lock_seconds: float | None = None
) -> list[str]:
    """Note which clients an app's code does not declare any more, and return those that it did until now.

    Args:
        store: The event log and its clients.
        app: The name of the app.
        declared: Ids of those that it declares.
        bridge: The app's bridge.
        lock_seconds: How long to wait for another transaction that holds such a client; None for the usual time.
    """
    with store.transaction() as connection:
        if lock_seconds is not None:
            connection.execute(statement("boot/lock_limit"), {"lock_ms": str(round(lock_seconds * 1000))})
        binds = {"app": app, "bridge": bridge, "declared": list(declared)}
        return list(connection.execute(statement("operate/note_undeclared"), binds).scalars())


def list_declared(store: Store, app: str, *, bridge: str) -> list[DeclaredClient]:
    """Return the clients that an app's code has declared, now or earlier, in the order of their ids."""
    with store.reading() as connection:
        rows = connection.execute(statement("look/declared_clients"), {"app": app, "bridge": bridge})
        return [DeclaredClient(*row) for row in rows]


def resolve_position(connection: Connection, position: Position, *, horizon: int) -> int:
    """Return the cursor of a position: the last offset that will not be delivered.

    Raises:
        UsageError: the offset is above the horizon, so events that are still to come would never be delivered.
    """
    if position.end:
        return horizon
    since = position.since
    if position.ago_seconds is not None:
        since = connection.execute(statement("look/moment_before"), {"seconds": position.ago_seconds}).scalar_one()
    if since is not None:
        binds = {"since": since, "horizon": horizon, "looks": OLDEST_LOOKED_AT}
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


def client_names(store: Store, prefix: str, *, most: int) -> list[str]:
    """Return the ids of clients that begin like this, in order, at most so many."""
    with store.reading() as connection:
        return list(connection.execute(statement("look/client_names"), {"prefix": prefix, "most": most}).scalars())


def _listed(row: Mapping[Any, Any]) -> ListedClient:
    # Not as `ClientSettings`: a row that plain SQL has made may hold what they refuse, and must be listed all the same.
    settings = {name: row[name] for name in SETTINGS}
    return ListedClient(id=row["id"], state=row["state"], offset=row["offset"], settings=settings)


def _settings(client: str, row: Mapping[Any, Any]) -> ClientSettings:
    values = {name: row[name] for name in SETTINGS}
    values["topics"] = tuple(values["topics"])
    values["headers"] = tuple(values["headers"])
    values["routes"] = tuple((pattern, task) for pattern, task in values["routes"])
    return ClientSettings(id=client, **values)
