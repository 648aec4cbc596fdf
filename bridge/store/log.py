"""The SQL of the log itself: appending events in the caller's own transaction, and looking at them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Connection as SqlalchemyConnection
from sqlalchemy import CursorResult
from sqlalchemy.orm import Session, scoped_session

from bridge.errors import InvalidEvent, UsageError
from bridge.model import TOPIC
from bridge.sql import for_psycopg, statement
from bridge.store.connect import Store

DEEPEST = 200  # levels of nesting: Python's own JSON gives up near 1,000, and a fleet has to read it again
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class NewEvent(NamedTuple):
    """An event before storage, for `publish_many`."""

    topic: str
    payload: Any
    key: str | None = None
    headers: Mapping[str, Any] | None = None


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
    event = _encoded(NewEvent(topic, payload, key, headers), where="")
    return int(
        run(connection_or_session, "publish", dict(zip(("topic", "key", "payload", "headers"), event, strict=True)))[0][
            0
        ]
    )


def publish_many(connection_or_session: Any, events: Iterable[NewEvent | tuple[Any, ...]]) -> list[int]:
    """Append many events in one statement, in order, in the caller's own transaction.

    Thousands a call are fine; all their payloads together may take up to 256 MB, Postgres' limit for one jsonb.

    Args:
        connection_or_session: As for `publish`.
        events: `NewEvent`s, or tuples of topic, payload and optionally key and headers.

    Returns:
        The offsets, in the order of the events.

    Raises:
        InvalidEvent: one of the events can't be stored, the message says which; nothing was sent.
    """
    encoded = [_encoded(NewEvent(*event), where=f"event {nth}: ") for nth, event in enumerate(events)]
    if not encoded:
        return []
    topics, keys, payloads, headers = zip(*encoded, strict=True)
    binds = {  # as JSON arrays: psycopg would escape each quote of a payload for an array of text, four times as slow
        "topics": _encode(topics),
        "keys": _encode(keys),
        "payloads": f"[{','.join(payloads)}]",
        "headers": f"[{','.join(headers)}]",
    }
    return [int(row[0]) for row in run(connection_or_session, "publish_many", binds)]


def tail(store: Store, *, after: int, topics: Sequence[str], most: int) -> list[dict[str, Any]]:
    """Final events after an offset whose topics match, at most `most`, as mappings."""
    with store.reading() as connection:
        pattern = connection.execute(statement("topics_filter"), {"topics": list(topics)}).scalar_one()
        horizon = connection.execute(statement("read_horizon"), {"wait_ms": 0}).scalar_one()
        binds = {"after": after, "horizon": horizon, "topics": pattern, "most": most}
        return [dict(row) for row in connection.execute(statement("tail"), binds).mappings()]


def _encoded(event: NewEvent, *, where: str) -> tuple[str, str | None, str, str]:
    if not isinstance(event.topic, str) or not _is_topic(event.topic):
        raise InvalidEvent(
            f"{where}topic {event.topic!r} is malformed: dotted words without '*', '#' or spaces, as in 'order.created'"
        )
    if event.key is not None and not (isinstance(event.key, str) and _storable(event.key)):
        raise InvalidEvent(f"{where}key {event.key!r} must be text without NUL or half characters, or None")
    if event.headers is not None and not isinstance(event.headers, Mapping):
        raise InvalidEvent(f"{where}headers must be a mapping, not {type(event.headers).__name__}")
    headers = _json(dict(event.headers), where, "headers") if event.headers else "{}"
    return event.topic, event.key, _json(event.payload, where, "payload"), headers


@lru_cache(maxsize=1024)
def _is_topic(text: str) -> bool:
    """Whether this is a topic; the same ones come again and again."""
    return bool(TOPIC.fullmatch(text)) and _storable(text)


def _storable(text: str) -> bool:
    """Whether Postgres can hold this text: no NUL, no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _json(value: Any, where: str, name: str) -> str:
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode()
    except RecursionError:
        raise InvalidEvent(
            f"{where}{name} is nested too deeply, or contains itself: at most {DEEPEST} levels"
        ) from None
    except UnicodeEncodeError:
        raise InvalidEvent(f"{where}{name} holds half a surrogate pair: it is no Unicode text") from None
    except (TypeError, ValueError) as error:
        raise InvalidEvent(f"{where}{name} is not JSON: {error}") from None
    if "\\u0000" in text and _NUL.search(text):
        raise InvalidEvent(
            f"{where}{name} holds a NUL character, which Postgres can't store: strip it before publishing"
        )
    if text.count("[") + text.count("{") > DEEPEST and _depth(value) > DEEPEST:
        raise InvalidEvent(f"{where}{name} is nested too deeply: at most {DEEPEST} levels")
    return text


def _depth(value: Any) -> int:
    """Levels of nesting; called only where there are many brackets, so that ordinary events don't pay for it."""
    depth, level = 0, [value]
    while level:
        level = [
            child
            for parent in level
            for child in (
                parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list | tuple) else ()
            )
        ]
        depth += 1
    return depth - 1


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
