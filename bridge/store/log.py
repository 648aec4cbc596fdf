"""The SQL of the log itself: appending events in the caller's own transaction, and looking at them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg
from sqlalchemy import Connection as SqlalchemyConnection
from sqlalchemy import CursorResult
from sqlalchemy.orm import Session, scoped_session

from bridge.errors import UsageError
from bridge.sql import for_psycopg, statement
from bridge.store.connect import Store
from bridge.store.encoding import NewEvent, encoded, encoded_together


def publish(
    connection_or_session: Any,
    topic: str,
    payload: Any,
    *,
    key: str | None = None,
    headers: Mapping[str, Any] | None = None,
) -> int:
    """Append one event in the caller's own transaction: it exists when that commits, and only then.

    Args:
        connection_or_session: A psycopg connection, or a SQLAlchemy connection or session, on the bridge's database.
        topic: Dotted words, such as `order.created`.
        payload: Anything that is JSON: dict, list, str, int, float, bool or None, at most 200 levels deep.
        key: Events of one key reach a client in order, one at a time; None if no order is needed.
        headers: A JSON object that travels with the event, for example a W3C `traceparent`.

    Returns:
        The event's offset. It may be delivered before a lower one that commits later.

    Raises:
        InvalidEvent: the event can't be stored; nothing was sent, the transaction is as it was.
    """
    [(offset,)] = run(connection_or_session, "publish", encoded(NewEvent(topic, payload, key, headers)))
    return int(offset)


def publish_many(connection_or_session: Any, events: Iterable[NewEvent | tuple[Any, ...]]) -> list[int]:
    """Append many events in one statement, in order, in the caller's own transaction.

    Thousands a call are fine; all of them together may take up to 256 MB, Postgres' limit for one jsonb.

    Args:
        connection_or_session: As for `publish`.
        events: `NewEvent`s, or tuples of topic, payload and optionally key and headers.

    Returns:
        The offsets, in the order of the events.

    Raises:
        InvalidEvent: one of the events can't be stored, the message says which; nothing was sent.
    """
    text = encoded_together(events)
    rows = run(connection_or_session, "publish_many", {"events": text}) if text else []
    # In the order in which they were drawn, whatever order they came back in.
    return sorted(offset for (offset,) in rows)


def tail(store: Store, *, after: int, topics: Sequence[str], most: int) -> list[dict[str, Any]]:
    """Final events after an offset whose topics match, at most `most`, as mappings."""
    with store.reading() as connection:
        pattern = connection.execute(statement("topics_filter"), {"topics": list(topics)}).scalar_one()
        horizon = connection.execute(statement("read_horizon"), {"wait_ms": 0}).scalar_one()
        binds = {"after": after, "horizon": horizon, "topics": pattern, "most": most}
        return [dict(row) for row in connection.execute(statement("tail"), binds).mappings()]


def run(connection: Any, name: str, binds: Mapping[str, Any]) -> Sequence[Any]:
    """Run a statement on whatever connection the caller has, in the transaction that it is in."""
    if isinstance(connection, SqlalchemyConnection | Session | scoped_session):
        result = connection.execute(statement(name), binds)
        return result.all() if isinstance(result, CursorResult) and result.returns_rows else []
    if isinstance(connection, psycopg.Connection):
        # a cursor of our own: the connection's row factory may be any
        with psycopg.Cursor(connection, row_factory=psycopg.rows.tuple_row) as cursor:
            cursor.execute(for_psycopg(name), binds)
            return cursor.fetchall() if cursor.description else []
    raise UsageError(
        f"can't run on a {type(connection).__name__}: pass a psycopg connection, or a SQLAlchemy connection or session"
    )
