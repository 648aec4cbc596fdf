"""Tell whether a worker can read a message, as Celery's worker reads it: without that, one message ends the worker.

kombu opens an envelope and Celery reads its headers in the worker's main process, in the middle of an event loop in
which any error is "unrecoverable". On RabbitMQ the message is given to the next worker then. So what goes to a worker
is read here first, and stricter than there: every field that Celery looks at has the type that Celery writes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from celery import Celery
from celery.app.task import Context
from celery.utils.time import maybe_iso8601
from kombu.serialization import loads, prepare_accept_content
from kombu.transport.virtual import Base64
from kombu.utils import json

from bridge.bounds import NESTED_LEVELS
from bridge.broker.compressed import uncompressed

NAME_CHARACTERS = 1000  # of ids, queues and the like; a task's own name is shorter
LONGEST_LIMIT_SECONDS = 10**9
IN_THE_BODY = frozenset(("args", "kwargs", "callbacks", "errbacks"))  # in protocol 1, where this is all one object
CODECS = {"base64": Base64()}  # of a body within a JSON envelope


class Letter(NamedTuple):
    """A message of any transport, as kombu's `Message` has it; nothing about it is certain."""

    body: Any
    content_type: Any
    content_encoding: Any
    headers: Any
    properties: Any


class Illegible(Exception):
    """A worker can't read it; the text says why."""


def why_illegible(app: Celery, letter: Letter) -> str:
    """Say why a worker of this app can't read a message, or would refuse it; an empty string if it can."""
    try:
        _check(app, letter)
    except Illegible as error:
        return str(error)
    except Exception as error:  # whatever decoding raises
        return f"{type(error).__name__} when it is decoded"
    return ""


def why_illegible_envelope(app: Celery, message: bytes) -> str:
    """Say the same of a message of a virtual transport, as it is stored."""
    try:
        letter = letter_of(json.loads(message))
    except Illegible as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__} when it is opened"
    return why_illegible(app, letter)


def letter_of(envelope: Any) -> Letter:
    """Read a virtual transport's envelope, as JSON has it, as kombu does.

    Raises:
        Illegible: kombu can't open it.
    """
    if not isinstance(envelope, dict):
        raise Illegible("the envelope is no object")
    properties = envelope.get("properties")
    if not isinstance(properties, dict):
        raise Illegible("it has no properties")
    _need_text("delivery_tag", properties.get("delivery_tag"))
    place = properties.get("delivery_info")
    if not isinstance(place, dict):
        raise Illegible("it has no delivery_info")
    for name in ("exchange", "routing_key"):
        _need_text(name, place.get(name), empty=True)
    body, encoding = envelope.get("body"), properties.get("body_encoding")
    if not isinstance(body, str):
        raise Illegible("its body is no text")
    if encoding is not None and encoding not in ("base64", "utf-8"):
        raise Illegible("its body_encoding is unknown")
    content = CODECS["base64"].decode(body) if encoding == "base64" else body.encode()
    return Letter(
        content, envelope.get("content-type"), envelope.get("content-encoding"), envelope.get("headers"), properties
    )


def _check(app: Celery, letter: Letter) -> None:
    headers, properties = letter.headers, letter.properties
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        raise Illegible("its headers or its properties are no object")
    _check_values(headers)
    _check_values({name: value for name, value in properties.items() if name != "application_headers"})
    for name in ("content_type", "content_encoding"):
        _need_text(name, getattr(letter, name))
    if not isinstance(letter.body, bytes) or not letter.body:
        raise Illegible("its body is empty")
    _check_fields(properties, PROPERTIES)
    try:
        plain = uncompressed(headers, letter.body)
    except ValueError as error:
        raise Illegible(str(error)) from error
    payload = loads(
        plain,
        letter.content_type,
        letter.content_encoding,
        accept=prepare_accept_content(app.conf.accept_content),
    )
    fields = _fields(headers, payload)
    if fields["task"] not in app.tasks:
        raise Illegible(f"its task {fields['task'][:NAME_CHARACTERS]!r} is unknown")


def _fields(headers: dict[str, Any], payload: Any) -> Mapping[str, Any]:
    """Return what Celery takes a message's headers for, checked; in protocol 1 they are in the body."""
    message: Any = Letter(None, None, None, headers, None)
    fields: dict[str, Any] = headers
    theirs = frozenset[str]()
    if isinstance(payload, dict):
        # Only now: publishers install the bridge, too, and need none of a worker's modules.
        from celery.worker.strategy import hybrid_to_proto2, proto1_to_proto2

        convert = hybrid_to_proto2 if "task" in headers and "args" in payload else proto1_to_proto2
        _check_values(payload)
        payload, fields, *_ = convert(message, dict(payload))
        theirs = IN_THE_BODY
    if not isinstance(payload, list | tuple) or len(payload) != 3:
        raise Illegible("its body is no triple of args, kwargs and callbacks")
    _check_values(payload, texts=False)
    args, kwargs, embed = payload
    if not isinstance(args, list | tuple) or not _is_named(kwargs) or not (embed is None or _is_named(embed)):
        raise Illegible("its args, kwargs or callbacks are of another kind")
    for name in ("callbacks", "errbacks", "chain"):
        found = (embed or {}).get(name)
        if found is not None and not (isinstance(found, list | tuple) and all(isinstance(it, dict) for it in found)):
            raise Illegible(f"its {name} are no signatures")
    _check_fields(fields, HEADERS)
    for name, value in fields.items():
        if not isinstance(name, str) or (
            value is not None and name not in HEADERS and name not in theirs and hasattr(Context, name)
        ):
            raise Illegible(f"its header {name!r} is not for a message")
    return fields


def _check_values(value: Any, *, texts: bool = True) -> None:
    """Check that a value is not nested too deeply for pickle, and that its texts can be written out."""
    level: list[Any] = [value]
    for _ in range(NESTED_LEVELS):
        if texts:
            for it in level:
                if isinstance(it, str):
                    it.encode()  # a lone surrogate raises
        level = [
            inner
            for it in level
            if isinstance(it, dict | list | tuple)
            for inner in ([*it.keys(), *it.values()] if isinstance(it, dict) else it)
        ]
        if not level:
            return
    raise Illegible(f"it is nested more than {NESTED_LEVELS} levels deep")


def _check_fields(fields: Mapping[str, Any], kinds: Mapping[str, Callable[[Any], bool]]) -> None:
    for name, is_right in kinds.items():
        if not is_right(fields.get(name)):
            raise Illegible(f"its {name} is missing, or of another kind")


def _need_text(name: str, value: Any, *, empty: bool = False) -> None:
    if not _is_text(value) or not (value or empty):
        raise Illegible(f"its {name} is missing, or no text")
    value.encode()


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= NAME_CHARACTERS


def _is_long_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_name(value: Any) -> bool:
    return _is_text(value) and bool(value)


def _is_optional(value: Any) -> bool:
    return value is None or _is_text(value)


def _is_flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int) and 0 <= value < 2**31)


def _is_moment(value: Any) -> bool:
    """Tell whether this is a time that survives being moved from zone to zone."""
    if value is None:
        return True
    if not isinstance(value, datetime) and not _is_name(value):
        return False
    year: int = maybe_iso8601(value).year
    return 1971 <= year <= 9000


def _is_limits(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_seconds, value))


def _is_seconds(value: Any) -> bool:
    if value is None:
        return True
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return number and 0 <= value <= LONGEST_LIMIT_SECONDS


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _is_named_or_none(value: Any) -> bool:
    return value is None or _is_named(value)


def _is_names(value: Any) -> bool:
    return value is None or (isinstance(value, Sequence) and not isinstance(value, str) and all(map(_is_text, value)))


# Each header that Celery's worker looks at, and what it must be.
HEADERS: Mapping[str, Callable[[Any], bool]] = {
    "task": _is_name,
    "id": _is_name,
    **dict.fromkeys(("lang", "root_id", "parent_id", "group", "origin", "taskset", "compression"), _is_optional),
    **dict.fromkeys(("shadow", "argsrepr", "kwargsrepr", "meth"), _is_long_text),
    **dict.fromkeys(("retries", "group_index", "replaced_task_nesting"), _is_number),
    **dict.fromkeys(("eta", "expires"), _is_moment),
    **dict.fromkeys(("ignore_result", "utc", "redelivered"), _is_flag),
    **dict.fromkeys(("stamps", "headers"), _is_named_or_none),
    "stamped_headers": _is_names,
    "timelimit": _is_limits,
}
PROPERTIES: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("reply_to", "correlation_id"), _is_optional),
    "priority": _is_number,
    "delivery_info": _is_named_or_none,
}
