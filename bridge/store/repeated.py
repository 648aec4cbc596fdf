"""Run the statements of a pass, which are the same again and again: SQLAlchemy remembers what columns they return.

Of a text without columns it finds them out anew for each result. For the six statements that hand over one event, that
was a fifth of all calls in Python (decision 66).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, TextualSelect, column

from bridge.sql import statement

_known: dict[TextClause, TextualSelect] = {}


def run(connection: Connection, name: str, binds: Mapping[str, Any] | None = None) -> CursorResult[*tuple[Any, ...]]:
    """Run a statement that returns rows, whose columns are the same for as long as this process lives.

    Args:
        connection: A connection of the store.
        name: Of its file in `bridge/sql`, without the ending.
        binds: Its values by name.
    """
    text = statement(name)
    if (known := _known.get(text)) is not None:
        return connection.execute(known, binds)
    found = connection.execute(text, binds)
    _known[text] = text.columns(*map(column, found.keys()))
    return found
