"""Which objects of the schema somebody has dropped or renamed; its version says nothing of that."""

from __future__ import annotations

import re
from functools import cache

from sqlalchemy import Connection

from bridge.sql import schema, statement
from bridge.wording import counted

MOST_NAMED = 3
MADE = re.compile(
    r"^CREATE (?:OR REPLACE |UNIQUE |CONSTRAINT )*(TABLE|VIEW|FUNCTION|TYPE|DOMAIN|INDEX|TRIGGER) (?:fq\.)?(\w+)",
    re.MULTILINE,
)


def missing(connection: Connection) -> str:
    """Say which objects of the schema are not there, and what to do; nothing where all are."""
    kinds, names = _objects()
    rows = connection.execute(statement("checkup/missing"), {"kinds": list(kinds), "names": list(names)}).all()
    if not rows:
        return ""
    named = ", ".join(f"{kind} {name if kind == 'trigger' else 'fq.' + name}" for kind, name in rows[:MOST_NAMED])
    more = f" and {counted(len(rows) - MOST_NAMED, 'more', 'more')}" if len(rows) > MOST_NAMED else ""
    verb = "is" if len(rows) == 1 else "are"
    return (
        f"{named}{more} of the schema fq {verb} not there, dropped or renamed by somebody: rename it back, "
        "or restore it from a backup; `eventbridge migrate` does not make it again"
    )


@cache
def _objects() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the kind and the name of each object that the schema is made of, tables first."""
    found = sorted(set(MADE.findall(schema())), key=lambda it: (it[0] not in ("TABLE", "VIEW"), it))
    return tuple(kind.lower() for kind, _ in found), tuple(name for _, name in found)
