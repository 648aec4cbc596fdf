"""Turn events into the JSON that Postgres takes, and refuse by name what it could not hold, before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from bridge.errors import InvalidEvent
from bridge.event import NewEvent
from bridge.topics import TOPIC

DEEPEST_LEVEL = 200  # of nesting: Python's own JSON gives up near 1,000 levels, and a fleet has to read it again

_encode = json.JSONEncoder(
    ensure_ascii=False,
    allow_nan=False,
    check_circular=False,  # a circle ends in a RecursionError all the same, and the check would cost a fifth
    separators=(",", ":"),
).encode
_SCALARS = frozenset({str, int, float, bool, type(None)})
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # the escape of a NUL, and not a backslash of the text before u0000


def encoded(event: NewEvent) -> dict[str, str | None]:
    """Return one event as the binds of `publish`.

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
    """Return many events as one JSON array of arrays; an empty text if there are none.

    Raises:
        InvalidEvent: one of them can't be stored; the message says which, counted from 0.
    """
    checked = [
        _checked(event if isinstance(event, NewEvent) else NewEvent(*event), f"event {nth}: ")
        for nth, event in enumerate(events)
    ]
    try:
        # The array and each event in it are two levels more.
        return _json(checked, "the list of events", deepest=DEEPEST_LEVEL + 2) if checked else ""
    except InvalidEvent:
        # Encode them one by one to find the one at fault.
        for nth, event in enumerate(checked):
            _json(event.payload, f"event {nth}: payload")
            _json(event.headers, f"event {nth}: headers")
        raise


def _checked(event: NewEvent, where: str) -> NewEvent:
    """Check topic, key and headers of an event, and return it with its headers as a dict."""
    topic, _, key, headers = event
    if not isinstance(topic, str) or not _is_topic(topic):
        raise InvalidEvent(
            f"{where}topic {topic!r} is malformed: dotted words without '*', '#' or spaces, as in 'order.created'"
        )
    if key is not None and not (isinstance(key, str) and _is_storable(key)):
        raise InvalidEvent(f"{where}key {key!r} must be text without NUL or half characters, or None")
    if headers is not None and not isinstance(headers, Mapping):
        raise InvalidEvent(f"{where}headers must be a mapping, not {type(headers).__name__}")
    return event if headers is None or isinstance(headers, dict) else event._replace(headers=dict(headers))


@lru_cache(maxsize=1024)
def _is_topic(text: str) -> bool:
    """Tell whether this is a topic. The answer is remembered, because the same topics come again and again."""
    return bool(TOPIC.fullmatch(text)) and _is_storable(text)


def _is_storable(text: str) -> bool:
    """Tell whether Postgres can hold this text: it has no NUL and no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _json(value: Any, name: str, *, deepest: int = DEEPEST_LEVEL) -> str:
    """Return a value as JSON text; an error calls it by `name`."""
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode()  # raises where the text holds half a surrogate pair
    except RecursionError:
        raise InvalidEvent(f"{name} is nested too deeply, or contains itself: at most {DEEPEST_LEVEL} levels") from None
    except UnicodeEncodeError:
        raise InvalidEvent(f"{name} holds half a surrogate pair: it is no Unicode text") from None
    except (TypeError, ValueError) as error:
        raise InvalidEvent(f"{name} is not JSON: {error}") from None
    if "\\u0000" in text and _NUL.search(text):
        raise InvalidEvent(f"{name} holds a NUL character, which Postgres can't store: strip it before publishing")
    # Counting brackets is cheap and finds nearly every value to be shallow; only the others are measured.
    if text.count("[") + text.count("{") > deepest and _depth(value) > deepest:
        raise InvalidEvent(f"{name} is nested too deeply: at most {DEEPEST_LEVEL} levels")
    return text


def _depth(value: Any) -> int:
    """Return a value's levels of nesting: 0 for a number, 1 for a list of numbers."""
    depth, level = 0, [value]
    while level := [one for one in level if type(one) not in _SCALARS]:
        level = [child for parent in level for child in _children(parent)]
        depth += 1
    return depth


def _children(parent: Any) -> Iterable[Any]:
    """Return what is directly inside a value; nothing for a scalar of a subclass, such as a StrEnum."""
    if isinstance(parent, dict):
        return parent.values()
    return parent if isinstance(parent, list | tuple) else ()
