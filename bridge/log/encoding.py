"""Events before storage, as the JSON that Postgres takes; what it could not hold is refused before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from bridge.errors import InvalidEvent
from bridge.topics import TOPIC

DEEPEST = 200  # levels of nesting: Python's own JSON gives up near 1,000, and a fleet has to read it again
_encode = json.JSONEncoder(  # what contains itself ends in a RecursionError: looking out for it costs a fifth
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode
_LEAVES = frozenset({str, int, float, bool, type(None)})  # their subclasses are found out one level later
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class NewEvent(NamedTuple):
    """An event before storage, for `publish_many`."""

    topic: str
    payload: Any
    key: str | None = None
    headers: Mapping[str, Any] | None = None


def encoded(event: NewEvent) -> dict[str, str | None]:
    """One event as the binds of `publish`.

    Raises:
        InvalidEvent: it can't be stored.
    """
    topic, payload, key, headers = _checked(event, "")
    return {
        "topic": topic,
        "key": key,
        "payload": _json(payload, "payload"),
        "headers": _json(headers or {}, "headers"),
    }


def encoded_together(events: Iterable[NewEvent | tuple[Any, ...]]) -> str:
    """Many events as one JSON array of arrays; empty if there are none.

    Raises:
        InvalidEvent: one of them can't be stored, the message says which.
    """
    checked = [
        _checked(event if isinstance(event, NewEvent) else NewEvent(*event), f"event {nth}: ")
        for nth, event in enumerate(events)
    ]
    try:
        return _json(checked, "the list of events", deepest=DEEPEST + 2) if checked else ""
    except InvalidEvent:
        for nth, event in enumerate(checked):
            _json(event.payload, f"event {nth}: payload")
            _json(event.headers, f"event {nth}: headers")
        raise


def _checked(event: NewEvent, where: str) -> NewEvent:
    """The event, if all that is not JSON can be stored; its headers as JSON has them."""
    topic, _, key, headers = event
    if not isinstance(topic, str) or not _is_topic(topic):
        raise InvalidEvent(
            f"{where}topic {topic!r} is malformed: dotted words without '*', '#' or spaces, as in 'order.created'"
        )
    if key is not None and not (isinstance(key, str) and _storable(key)):
        raise InvalidEvent(f"{where}key {key!r} must be text without NUL or half characters, or None")
    if headers is not None and not isinstance(headers, Mapping):
        raise InvalidEvent(f"{where}headers must be a mapping, not {type(headers).__name__}")
    return event if headers is None or isinstance(headers, dict) else event._replace(headers=dict(headers))


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


def _json(value: Any, name: str, *, deepest: int = DEEPEST) -> str:
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode()
    except RecursionError:
        raise InvalidEvent(f"{name} is nested too deeply, or contains itself: at most {DEEPEST} levels") from None
    except UnicodeEncodeError:
        raise InvalidEvent(f"{name} holds half a surrogate pair: it is no Unicode text") from None
    except (TypeError, ValueError) as error:
        raise InvalidEvent(f"{name} is not JSON: {error}") from None
    if "\\u0000" in text and _NUL.search(text):
        raise InvalidEvent(f"{name} holds a NUL character, which Postgres can't store: strip it before publishing")
    if text.count("[") + text.count("{") > deepest and _depth(value) > deepest:
        raise InvalidEvent(f"{name} is nested too deeply: at most {DEEPEST} levels")
    return text


def _depth(value: Any) -> int:
    """Levels of nesting; called only where there are many brackets, so that a single ordinary event doesn't pay for it."""
    depth, level = 0, [value]
    while level := [one for one in level if type(one) not in _LEAVES]:
        level = [
            child
            for parent in level
            for child in (
                parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list | tuple) else ()
            )
        ]
        depth += 1
    return depth
