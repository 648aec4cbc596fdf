"""The SQL of dead letters: list them, let them go out again, give them up."""

from __future__ import annotations

from dataclasses import dataclass
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
    """

    keys: tuple[str, ...] = ()
    error_types: tuple[str, ...] = ()
    offsets: tuple[int, ...] = ()

    @property
    def all(self) -> bool:
        """Whether nothing narrows the selection down."""
        return not (self.keys or self.error_types or self.offsets)


def list_parked(
    store: Store, client: str | None = None, *, selection: Selection = Selection(), most: int
) -> list[dict[str, Any]]:
    """Parked events of a client, or of all, the last one first; the keys are those of `list_parked.sql`."""
    with store.reading() as connection:
        binds = {"client": client, "most": most, **_binds(selection)}
        return [dict(row) for row in connection.execute(statement("look/list_parked"), binds).mappings()]


def redrive(connection: Connection, client: str, selection: Selection) -> list[int]:
    """Let these go out again; the offsets of those that will."""
    return _offsets(connection, "operate/redrive", client, selection)


def discard(connection: Connection, client: str, selection: Selection) -> list[int]:
    """Give these up for good; their offsets."""
    return _offsets(connection, "operate/discard", client, selection)


def _offsets(connection: Connection, name: str, client: str, selection: Selection) -> list[int]:
    return list(connection.execute(statement(name), {"client": client, **_binds(selection)}).scalars())


def _binds(selection: Selection) -> dict[str, list[Any] | None]:
    return {
        "keys": list(selection.keys) or None,
        "error_types": list(selection.error_types) or None,
        "offsets": list(selection.offsets) or None,
    }
