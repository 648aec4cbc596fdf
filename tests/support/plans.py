"""How Postgres runs a statement of ours, in a transaction that may keep its plans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from sqlalchemy import Connection

from bridge.sql import for_asyncpg


def explain(connection: Connection, name: str, binds: Mapping[str, Any], options: str) -> list[Any]:
    """Explain a prepared statement, as drivers and PgBouncer send it; return the first column.

    An EXPLAIN that has values itself would be planned for these, whatever `plan_cache_mode` says.

    Args:
        connection: In the transaction whose settings count.
        name: Of the statement's file.
        binds: Its values; others may be among them.
        options: Of EXPLAIN.
    """
    body, names = for_asyncpg(name)
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    raw.execute(f"PREPARE explained AS {body}".encode())
    values = "(" + ", ".join(["%s"] * len(names)) + ")" if names else ""
    statement = f"EXPLAIN ({options}) EXECUTE explained{values}".encode()
    rows = psycopg.ClientCursor(raw).execute(statement, [binds[one] for one in names]).fetchall()
    raw.execute("DEALLOCATE explained")
    return [line for (line,) in rows]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Walk over a plan that was explained as JSON."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def rows_of(node: dict[str, Any]) -> float:
    """Rows that a node of a plan has made or looked at, over all its loops."""
    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
    return float((node["Actual Rows"] + removed) * node["Actual Loops"])


def pages_of(plan: dict[str, Any]) -> int:
    """Pages that a plan has looked at."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
