"""The SQL of the journal: who did what to which client, and when.

An entry is written in the transaction that does what it tells, so it is there exactly if that was done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from bridge.sql import statement
from bridge.store.connect import Store

WHOLE_LOG = "*"  # in place of a client, where something is done to the log itself


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One thing that was done to a client. The names are the keys of `journal --json`.

    Attributes:
        at: When.
        client: Id of the client; it may have been removed since. `*` for what was done to the log itself.
        action: `pause`, `drain`, `drained`, `resume`, `halt`, `remove`, `seek`, `replay`, `stop replay`, `redrive`,
            `discard`, `recall`, `erase`, `prune`, `cancel` or `archive journal`; `resync`, which is about no client.
        by: Who did it: user@host, or `bridge`.
        details: What goes with the action, such as `reason` of a pause, or `from` and `to` of a seek.
    """

    at: datetime
    client: str
    action: str
    by: str
    details: Mapping[str, Any]


def note(connection: Connection, client: str, action: str, *, by: str, details: Mapping[str, Any]) -> None:
    """Write into the journal what is done to a client in this transaction."""
    binds = {"client": client, "action": action, "by": by, "details": json.dumps(details)}
    connection.execute(statement("operate/note"), binds)


def list_journal(store: Store, client: str | None = None, *, most: int) -> list[JournalEntry]:
    """Return what was done to a client, or to any, the newest first; removed clients are included."""
    with store.reading() as connection:
        rows = connection.execute(statement("look/list_journal"), {"client": client, "most": most}).mappings()
        return [JournalEntry(**row) for row in rows]
