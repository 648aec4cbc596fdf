"""Turn events into the JSON that Postgres takes, and refuse by name what it could not hold, before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from bridge.bounds import HEADERS_BYTES, KEY_CHARACTERS, NESTED_LEVELS, PAYLOAD_BYTES, TOPIC_CHARACTERS
from bridge.errors import InvalidEvent
from bridge.event import NewEvent
from bridge.topics import TOPIC

LONGEST_FLOAT = 330  # characters, without an exponent

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
        "payload": _json(payload, "payload", most_bytes=PAYLOAD_BYTES),
        "headers": _headers(headers or {}, "headers"),
    }


def encoded_together(events: Iterable[NewEvent | tuple[Any, ...]]) -> list[str]:
    """Return many events as JSON arrays of arrays, of which each fits into one statement.

    Raises:
        InvalidEvent: one of them can't be stored; the message says which, counted from 0.
    """
    checked = [
        _checked(event if isinstance(event, NewEvent) else NewEvent(*event), f"event {nth}: ")
        for nth, event in enumerate(events)
    ]
    for nth, event in enumerate(checked):
        if event.headers:
            _headers(event.headers, f"event {nth}: headers")
    try:
        return [*_arrays(checked)]
    except InvalidEvent:
        # Encode them one by one to find the one at fault.
        for nth, event in enumerate(checked):
            _json(event.payload, f"event {nth}: payload", most_bytes=PAYLOAD_BYTES)
        raise


def _arrays(events: Sequence[NewEvent]) -> Iterator[str]:
    """Yield the events in arrays of at most `PAYLOAD_BYTES`; one event may be a little larger."""
    if not events:
        return
    # The array and each event in it are two levels more.
    text = _json(events, "the list of events", deepest=NESTED_LEVELS + 2)
    if len(events) > 1 and _is_longer(text, PAYLOAD_BYTES):
        middle = len(events) // 2
        yield from _arrays(events[:middle])
        yield from _arrays(events[middle:])
        return
    if len(events) == 1 and _is_longer(text, PAYLOAD_BYTES):
        _json(events[0].payload, "payload", most_bytes=PAYLOAD_BYTES)
    yield text


def _checked(event: NewEvent, where: str) -> NewEvent:
    """Check topic, key and headers of an event, and return it with its headers as a dict."""
    topic, _, key, headers = event
    if isinstance(topic, str) and len(topic) > TOPIC_CHARACTERS:
        raise InvalidEvent(
            f"{where}topic {topic[:20]!r}… has {len(topic):,} characters: at most {TOPIC_CHARACTERS} are allowed"
        )
    if not isinstance(topic, str) or not _is_topic(topic):
        raise InvalidEvent(
            f"{where}topic {topic!r} is malformed: dotted words without '*', '#' or spaces, as in 'order.created'"
        )
    if key is not None and not (isinstance(key, str) and len(key) <= KEY_CHARACTERS and _is_storable(key)):
        raise InvalidEvent(f"{where}{_wrong_key(key)}")
    if headers is not None and not isinstance(headers, Mapping):
        raise InvalidEvent(f"{where}headers must be a mapping, not {type(headers).__name__}")
    return event if headers is None or isinstance(headers, dict) else event._replace(headers=dict(headers))


def _wrong_key(key: object) -> str:
    """Say what is wrong with a key."""
    if isinstance(key, str) and len(key) > KEY_CHARACTERS:
        return f"key {key[:20]!r}… has {len(key):,} characters: at most {KEY_CHARACTERS} are allowed"
    return f"key {key!r} must be text without NUL or half characters, or None"


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


def _headers(value: Mapping[str, Any], name: str) -> str:
    """Return headers as JSON text."""
    text = _json(value, name, most_bytes=HEADERS_BYTES)
    if len(text) > HEADERS_BYTES // LONGEST_FLOAT and (length := measured(value)) > HEADERS_BYTES:
        raise InvalidEvent(f"{name} has about {length:,} bytes as JSON: at most {HEADERS_BYTES:,} are allowed")
    return text


def measured(value: Any) -> int:
    """Return at least how many bytes Postgres counts: with a space behind each comma and colon, and all digits."""
    text = _encode(value)
    exponents = text.count("e+") + text.count("e-")
    return len(text.encode("utf-8", "surrogatepass")) + text.count(",") + text.count(":") + LONGEST_FLOAT * exponents


def _is_longer(text: str, most_bytes: int) -> bool:
    """Tell whether a text has more bytes than these."""
    return 4 * len(text) > most_bytes and len(text.encode()) > most_bytes


def _json(value: Any, name: str, *, deepest: int = NESTED_LEVELS, most_bytes: int | None = None) -> str:
    """Return a value as JSON text; an error calls it by `name`."""
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode()  # raises where the text holds half a surrogate pair
    except RecursionError:
        raise InvalidEvent(f"{name} is nested too deeply, or contains itself: at most {NESTED_LEVELS} levels") from None
    except UnicodeEncodeError:
        raise InvalidEvent(f"{name} holds half a surrogate pair: it is no Unicode text") from None
    except (TypeError, ValueError) as error:
        raise InvalidEvent(f"{name} is not JSON: {error}") from None
    if "\\u0000" in text and _NUL.search(text):
        raise InvalidEvent(f"{name} holds a NUL character, which Postgres can't store: strip it before publishing")
    # Counting brackets is cheap and finds nearly every value to be shallow; only the others are measured.
    if text.count("[") + text.count("{") > deepest and depth(value) > deepest:
        raise InvalidEvent(f"{name} is nested too deeply: at most {NESTED_LEVELS} levels")
    if most_bytes is not None and _is_longer(text, most_bytes):
        raise InvalidEvent(f"{name} has {len(text.encode()):,} bytes as JSON: at most {most_bytes:,} are allowed")
    return text


def depth(value: Any) -> int:
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
