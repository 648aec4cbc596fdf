"""Turn events into the JSON that Postgres takes, and refuse by name what it could not hold, before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from bridge.bounds import HEADERS_BYTES, ID_CHARACTERS, KEY_CHARACTERS, NESTED_LEVELS, PAYLOAD_BYTES, TOPIC_CHARACTERS
from bridge.errors import InvalidEvent
from bridge.event import NewEvent, NewEventTuple
from bridge.log.values import fault, plain
from bridge.topics import TOPIC

LONGEST_FLOAT = 330  # characters, without an exponent

_WAYS: dict[str, Any] = {
    "default": plain,
    "ensure_ascii": False,
    "allow_nan": False,
    "check_circular": False,  # a circle ends in a RecursionError all the same, and the check would cost a fifth
    "separators": (",", ":"),
}
# Keys of several types can't be sorted, so the encoder itself tells the objects in which two keys may be one text, as 1
# and "1" are. Nobody sees the order: Postgres has one of its own.
_encode = json.JSONEncoder(**_WAYS, sort_keys=True).encode
_encode_unsorted = json.JSONEncoder(**_WAYS).encode
_SCALARS = frozenset({str, int, float, bool, type(None)})
_LISTS = frozenset({list, tuple})
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # the escape of a NUL, and not a backslash of the text before u0000


def encoded(event: NewEvent) -> dict[str, Any]:
    """Return one event as the binds of `publish`, and with its id where it has one.

    Raises:
        InvalidEvent: it can't be stored.
    """
    topic, payload, key, headers, id = _checked(event, "")
    binds = {
        "topic": topic if type(topic) is str else str.__str__(topic),  # a driver may know subclasses, such as enums
        "key": key,
        "payload": _json(payload, "payload", most_bytes=PAYLOAD_BYTES),
        "headers": _headers(headers, "headers") if headers else "{}",
    }
    return binds if id is None else {**binds, "id": id}


def checked_together(events: Iterable[NewEvent | NewEventTuple]) -> list[NewEvent]:
    """Check many events but for their payloads, and return them with keys and ids as text, and headers as dicts.

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
    return checked


def arrays_of(checked: Sequence[NewEvent]) -> list[str]:
    """Return events that were checked as JSON arrays of arrays, of which each fits into one statement.

    Raises:
        InvalidEvent: the payload of one of them can't be stored; the message says which, counted from 0.
    """
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
    text = _json([*map(_cut, events)], "the list of events", deepest=NESTED_LEVELS + 2)
    if len(events) > 1 and _is_longer(text, PAYLOAD_BYTES):
        middle = len(events) // 2
        yield from _arrays(events[:middle])
        yield from _arrays(events[middle:])
        return
    if len(events) == 1 and _is_longer(text, PAYLOAD_BYTES):
        _json(events[0].payload, "payload", most_bytes=PAYLOAD_BYTES)
    yield text


def _cut(event: NewEvent) -> tuple[Any, ...]:
    """Return an event without what it lacks at its end: Postgres reads what is not there in no time."""
    return event if event.id is not None else event[:4] if event.headers else event[:3]


def _checked(event: NewEvent, where: str) -> NewEvent:
    """Check an event but for its payload, and return it with key and id as text, and its headers as a dict."""
    topic, _, key, headers, id = event
    if isinstance(topic, str) and len(topic) > TOPIC_CHARACTERS:
        raise InvalidEvent(
            f"{where}topic {topic[:20]!r}… has {len(topic):,} characters: at most {TOPIC_CHARACTERS} are allowed"
        )
    if not isinstance(topic, str) or not _is_topic(topic):
        raise InvalidEvent(
            f"{where}topic {topic!r} is malformed: dotted words without '*', '#' or spaces, as in 'order.created'"
        )
    if key is not None and not (type(key) is str and len(key) <= KEY_CHARACTERS and _is_storable(key)):
        event = event._replace(key=_as_text(key, f"{where}key", KEY_CHARACTERS))
    if id is not None:
        event = event._replace(id=_as_text(id, f"{where}id", ID_CHARACTERS, least=1))
    if headers is not None and not isinstance(headers, Mapping):
        raise InvalidEvent(f"{where}headers must be a mapping, not {type(headers).__name__}")
    return event if headers is None or isinstance(headers, dict) else event._replace(headers=dict(headers))


def _as_text(value: object, name: str, most: int, *, least: int = 0) -> str:
    """Return a key or an id as text.

    Raises:
        InvalidEvent: it is neither text, a whole number nor a UUID, or it is too long.
    """
    if isinstance(value, str):
        text = str.__str__(value)
    elif isinstance(value, UUID) or (isinstance(value, int) and not isinstance(value, bool)):
        if isinstance(value, int) and value.bit_length() > 4 * most:  # Python does not even write a very long one
            raise InvalidEvent(f"{name} is a number with more than {most} digits: at most {most} are allowed")
        text = str(value) if isinstance(value, UUID) else f"{int(value)}"
    else:
        raise InvalidEvent(f"{name} {repr(value)[:50]} must be text, a whole number or a UUID, or None")
    if len(text) > most:
        raise InvalidEvent(f"{name} {text[:20]!r}… has {len(text):,} characters: at most {most} are allowed")
    if len(text) < least:
        raise InvalidEvent(f"{name} is empty: name the event by it, or leave it out")
    if not _is_storable(text):
        raise InvalidEvent(f"{name} {text!r} must be text without NUL or half characters, or None")
    return text


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
    text = _encode_unsorted(value)
    exponents = text.count("e+") + text.count("e-")
    return len(text.encode("utf-8", "surrogatepass")) + text.count(",") + text.count(":") + LONGEST_FLOAT * exponents


def _is_longer(text: str, most_bytes: int) -> bool:
    """Tell whether a text has more bytes than these."""
    return 4 * len(text) > most_bytes and len(text.encode()) > most_bytes


def _json(value: Any, name: str, *, deepest: int = NESTED_LEVELS, most_bytes: int | None = None) -> str:
    """Return a value as JSON text; an error calls it by `name`."""
    try:
        try:
            text = _encode(value)
        except TypeError:
            text = _encode_unsorted(value)
            if fault(value, name)[1]:
                raise
        if not text.isascii():
            text.encode()  # raises where the text holds half a surrogate pair
    except RecursionError:
        raise InvalidEvent(f"{name} is nested too deeply, or contains itself: at most {NESTED_LEVELS} levels") from None
    except UnicodeEncodeError:
        raise _unstorable(value, name, "it holds half a surrogate pair") from None
    except (TypeError, ValueError) as error:
        raise _unstorable(value, name, str(error)) from error
    if "\\u0000" in text and _NUL.search(text):
        raise _unstorable(value, name, "it holds a NUL character")
    # Counting brackets is cheap and finds nearly every value to be shallow; only the others are measured.
    if text.count("[") + text.count("{") > deepest and depth(value) > deepest:
        raise InvalidEvent(f"{name} is nested too deeply: at most {NESTED_LEVELS} levels")
    if most_bytes is not None and _is_longer(text, most_bytes):
        raise InvalidEvent(f"{name} has {len(text.encode()):,} bytes as JSON: at most {most_bytes:,} are allowed")
    return text


def _unstorable(value: Any, name: str, said: str) -> InvalidEvent:
    """Say where in a value there is something that can't be stored, and why it can't."""
    where, why = fault(value, name)
    return InvalidEvent(f"{where} is not JSON that Postgres can store: {why or said[:200]}")


def depth(value: Any) -> int:
    """Return a value's levels of nesting: 0 for a number, 1 for a list of numbers."""
    depth, level = 0, [] if type(value) in _SCALARS else [value]
    while level:
        depth += 1
        # Of the usual types what is inside is taken here: a call for each would cost as much as all the rest.
        level = [
            child
            for parent in level
            for child in (
                parent.values() if type(parent) is dict else parent if type(parent) in _LISTS else _inside(parent)
            )
            if type(child) not in _SCALARS
        ]
    return depth


def _inside(parent: Any) -> Iterable[Any]:
    """Return what is directly inside a value, as it is written; nothing for a scalar of a subclass."""
    if isinstance(parent, dict):
        return parent.values()
    if isinstance(parent, list | tuple):
        return parent
    return () if isinstance(parent, str | int | float) else _inside(plain(parent))
