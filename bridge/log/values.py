"""What the values of an event become: plain JSON, which every language reads, without marks of Python's types.

What Celery's own JSON takes is taken here: of Decimal, datetime, date, time and UUID the same text is stored. Enums,
dataclasses, attrs classes and pydantic models come beside, and types of the user's own by `register_type`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, TypeVar
from uuid import UUID

from kombu.utils.json import JSONEncoder

from bridge.bounds import INTEGER_DIGITS

MOST_BITS = 14_284  # of a whole number of INTEGER_DIGITS digits
PATH_CHARACTERS = 200
STEP_CHARACTERS = 40
TYPE, VALUE = "__type__", "__value__"  # kombu wraps what it encodes into an object of these two

T = TypeVar("T")

_registered: dict[type, Callable[[Any], Any]] = {}
_kombu = JSONEncoder()


def register_type(cls: type[T], to_json: Callable[[T], Any]) -> None:
    """Tell what values of a type become when they are published, in this process from now on.

    ::

        bridge.register_type(Money, lambda money: {"amount": str(money.amount), "currency": money.currency})

    It goes before what the bridge knows of the type itself, and holds for subclasses too.

    Args:
        cls: The type; those that JSON has itself (str, int, float, bool, dict, list, tuple) are never asked about.
        to_json: Makes something of a value that can be published: it may hold further such values.
    """
    _registered[cls] = to_json


def plain(value: Any) -> Any:
    """Return what stands for a value that JSON does not have, one level of it.

    Raises:
        TypeError: nothing does.
    """
    if _registered:
        for cls in type(value).__mro__:
            if cls in _registered:
                return _registered[cls](value)
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if not isinstance(value, type):
        if hasattr(value, "model_dump"):
            return value.model_dump(mode="json")
        if dataclasses.is_dataclass(value):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if hasattr(value, "__attrs_attrs__"):
            return {field.name: getattr(value, field.name) for field in value.__attrs_attrs__}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("bytes are no JSON: decode them, or publish them as base64")
    return _as_celery(value)


def _as_celery(value: Any) -> Any:
    """Return what Celery's JSON makes of a value: by its `__json__`, or as the app has registered it with kombu."""
    try:
        found = _kombu.default(value)
    except TypeError:
        called = f"{type(value).__module__}.{type(value).__qualname__}"[: STEP_CHARACTERS * 2]
        raise TypeError(f"{called} is no JSON: `bridge.register_type` can say what it becomes") from None
    return found[VALUE] if isinstance(found, dict) and found.keys() == {TYPE, VALUE} else found


def fault(value: Any, name: str) -> tuple[str, str]:
    """Find the first thing in a value that can't be stored: return where it is, as in `payload.items[3]`, and why.

    The order is that in which JSON is written. Where nothing is found the value as a whole is named.
    """
    left: list[tuple[Any, Any, Any]] = [(None, None, value)]  # the place of the parent, the step from it, the value
    while left:
        parent, step, one = left.pop()
        here = (parent, step)
        if why := _fault_of(one):
            return _path(here, name), why
        try:
            children = _children(one)
        except (TypeError, ValueError) as error:
            return _path(here, name), str(error)[:PATH_CHARACTERS]
        left += [(here, step, child) for step, child in reversed(children)]
    return name, ""


def _fault_of(value: Any) -> str:
    """Say what is wrong with a value itself, without what is in it."""
    if isinstance(value, str):
        return _fault_of_text(value)
    if isinstance(value, float) and not isfinite(value):
        return f"{value} is no JSON"
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return f"it is a number of more than {INTEGER_DIGITS:,} digits"
    if isinstance(value, dict):
        written: dict[str, Any] = {}
        for key in value:
            if not isinstance(key, str | int | float | bool | None):
                return f"its key {repr(key)[:STEP_CHARACTERS]} is no text, and keys of JSON are"
            if why := _fault_of_text(key) if isinstance(key, str) else _fault_of(key):
                return why
            text = key if isinstance(key, str) else next(iter(json.loads(json.dumps({key: 0}))))
            if text in written:
                both = f"{written[text]!r} and {key!r}"
                return f"its keys {both} are the same text, and only one of them would be kept"
            written[text] = key
    return ""


def _fault_of_text(text: str) -> str:
    if "\0" in text:
        return NUL
    try:
        text.encode()
    except UnicodeEncodeError:
        return HALF
    return ""


NUL = "it holds a NUL character, which Postgres can't store: strip it before publishing"
HALF = "it holds half a surrogate pair: it is no Unicode text"


def _children(value: Any) -> list[tuple[Any, Any]]:
    """Return what is directly inside a value, each with the step that leads to it: a key, or a number."""
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if value is None or isinstance(value, str | int | float):
        return []
    converted = plain(value)
    if why := _fault_of(converted):
        raise ValueError(why)
    return _children(converted)


def _path(place: Any, name: str) -> str:
    """Write a place in words of Python: `payload.items[3]`."""
    steps = []
    while place is not None and place[0] is not None:
        steps.append(_step(place[1]))
        place = place[0]
    path = "".join(reversed(steps))
    return name + (
        path if len(path) <= PATH_CHARACTERS else path[: PATH_CHARACTERS // 2] + "…" + path[-PATH_CHARACTERS // 2 :]
    )


def _step(step: Any) -> str:
    if isinstance(step, str) and step.isidentifier() and len(step) <= STEP_CHARACTERS:
        return f".{step}"
    text = repr(step)
    return f"[{text if len(text) <= STEP_CHARACTERS else text[:STEP_CHARACTERS] + '…'}]"
