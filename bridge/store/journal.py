"""The SQL of the journal: who did what to which client, and when. It is written in the transaction that does it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from bridge.sql import statement
from bridge.store.connect import Store


def note(connection: Connection, client: str, action: str, *, by: str, details: Mapping[str, Any]) -> None:
    """Write what somebody did to a client, to be there if it was done."""
    binds = {"client": client, "action": action, "by": by, "details": json.dumps(details)}
    connection.execute(statement("operate/note"), binds)


def entries(store: Store, client: str | None = None, *, most: int) -> list[dict[str, Any]]:
    """What was done to a client, or to any, the newest first; removed ones included."""
    with store.reading() as connection:
        rows = connection.execute(statement("look/list_journal"), {"client": client, "most": most}).mappings()
        return [dict(row) for row in rows]
