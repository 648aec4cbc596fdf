"""The SQL of parked events, the dead letters: list them, let them go out again, give them up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from bridge.sql import statement
from bridge.store.connect import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which parked events: those that fit every list that is not empty; all of them if none is given.

    Attributes:
        keys: Ordering keys.
        error_types: Names of exceptions, as `parked` shows them.
        offsets: Offsets of events.
        older_seconds: Only those that have been parked for longer than this; None: any.
    """

    keys: tuple[str, ...] = ()
    error_types: tuple[str, ...] = ()
    offsets: tuple[int, ...] = ()
    older_seconds: float | None = None

    @property
    def all(self) -> bool:
        """Whether nothing narrows the selection down."""
        return not (self.keys or self.error_types or self.offsets or self.older_seconds is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedEvent:
    """An event that was set aside for one client. The names are the keys of `parked --json`.

    Attributes:
        client_id: The client that it was set aside for.
        offset: Its place in the log.
        topic: Its topic; None where the event is not in the log any more, and can't be redriven.
        key: Its ordering key.
        epoch: The epoch number that it was handed over with.
        attempts: How many times it was handed over.
        error_type: Name of the last exception, where it is known.
        error: Its message.
        traceback: Its traceback.
        host: The worker that the last attempt was on, where it is known.
        runtime_seconds: How long the last attempt ran, likewise.
        reason: Why the event was set aside, such as `failed 5 times`.
        held: Whether its key's later events wait for it.
        redrive: Whether it is to go out again.
        first_at: When it was first handed over.
        parked_at: When it was set aside.
    """

    client_id: str
    offset: int
    topic: str | None
    key: str | None
    epoch: int
    attempts: int
    error_type: str | None
    error: str | None
    traceback: str | None
    host: str | None
    runtime_seconds: float | None
    reason: str
    held: bool
    redrive: bool
    first_at: datetime
    parked_at: datetime


EVERYTHING = Selection()


def list_parked(
    store: Store, client: str | None = None, *, selection: Selection = EVERYTHING, most: int
) -> list[ParkedEvent]:
    """Return parked events of a client, or of all, those that were set aside last first."""
    with store.reading() as connection:
        binds = {"client": client, "most": most, **_binds(selection)}
        rows = connection.execute(statement("look/list_parked"), binds).mappings()
        return [ParkedEvent(**row) for row in rows]


def count_parked(store: Store, client: str, *, selection: Selection = EVERYTHING) -> int:
    """Count a client's parked events that fit."""
    with store.reading() as connection:
        binds = {"client": client, **_binds(selection)}
        return int(connection.execute(statement("look/count_parked"), binds).scalar_one())


def redrive_parked(connection: Connection, client: str, selection: Selection) -> list[int]:
    """Let these go out again, and return the offsets of those that will."""
    return _offsets(connection, "operate/redrive", client, selection)


def discard_parked(connection: Connection, client: str, selection: Selection) -> list[int]:
    """Give these up for good, and return their offsets."""
    return _offsets(connection, "operate/discard", client, selection)


def _offsets(connection: Connection, name: str, client: str, selection: Selection) -> list[int]:
    return list(connection.execute(statement(name), {"client": client, **_binds(selection)}).scalars())


def _binds(selection: Selection) -> dict[str, Any]:
    return {
        "keys": list(selection.keys) or None,
        "error_types": list(selection.error_types) or None,
        "offsets": list(selection.offsets) or None,
        "older": selection.older_seconds,
    }
