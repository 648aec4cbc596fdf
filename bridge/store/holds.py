"""The SQL of holds: names that keep events from being pruned until they expire."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from bridge.sql import statement
from bridge.store.connect import Store


class Hold(NamedTuple):
    """What keeps all events from an offset on.

    Attributes:
        name: Who needs them, such as a backup.
        offset: The first event that it keeps.
        expires_at: When it ends by itself.
        by: Who made it.
    """

    name: str
    offset: int
    expires_at: datetime
    by: str


def save_hold(connection: Connection, name: str, *, offset: int, seconds: float, by: str) -> Hold:
    """Make a hold, or renew it."""
    binds = {"name": name, "offset": offset, "seconds": seconds, "by": by}
    return Hold(*connection.execute(statement("retention/save_hold"), binds).one())


def end_hold(store: Store, name: str) -> bool:
    """End a hold, and tell whether there was one."""
    with store.writing() as connection:
        return connection.execute(statement("retention/end_hold"), {"name": name}).one_or_none() is not None


def list_holds(store: Store) -> list[Hold]:
    """Return the holds that have not expired; what keeps most comes first."""
    with store.reading() as connection:
        return [Hold(*row) for row in connection.execute(statement("retention/list_holds"))]
