"""Read what is suspect before it is sent, as a fleet's worker will read it: what no worker can read is never sent.

Celery drops a message that it can't decode without a callback, and a worker's main process does not survive one that it
can't pickle for its pool. A test that costs a fraction of a microsecond finds nearly every event to be free of
suspicion. Only the others are parsed (decision 22): of large ones, which are in bytes, as few as can be, because parsed
an event takes ten times its bytes. Pure: text in, words out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, cast

from bridge.bounds import FLOAT_DIGITS, INTEGER_DIGITS, NESTED_LEVELS
from bridge.errors import Undeliverable
from bridge.log.encoding import depth
from bridge.model import Client, Delivery
from bridge.sender.levels import is_deeper

NO_KEYWORDS = "the payload is no JSON object, so it has no keyword arguments"
TYPE, VALUE = "__type__", "__value__"  # kombu's JSON makes another object of an object that has these two and no more
QUOTED_TYPE = f'"{TYPE}"'

_STRIDE = 30  # of FLOAT_DIGITS digits in a row at least ten remain where only every 30th character is looked at
_OPENS_OBJECT = ("{", ord("{"))  # the first of a text, and of bytes
_LONG_NUMBER = re.compile(f"[0-9]{{{FLOAT_DIGITS // _STRIDE}}}").search
_LONG_NUMBERS = re.compile(b"[0-9]{%d,}" % (FLOAT_DIGITS // _STRIDE)).finditer
_WHOLE_NUMBER = re.compile(b"(?<![0-9])[0-9]{%d}" % FLOAT_DIGITS).search  # else it would try from each digit on


class _Unreadable(ValueError):
    """A worker can't read this; the message says why."""


def is_suspect(body: str | bytearray) -> bool:
    """Tell whether a JSON text is worth reading: all that no worker can read is suspect, and hardly anything else."""
    if not isinstance(body, str):
        return QUOTED_TYPE.encode() in body or _has_long_number(body) or is_deeper(body, NESTED_LEVELS)
    return QUOTED_TYPE in body or (len(body) > FLOAT_DIGITS and _is_suspect_at_length(body))


def _is_suspect_at_length(body: str) -> bool:
    """Tell whether there is a number that is too long, or more levels than are allowed."""
    length = len(body)
    if length > 2 * FLOAT_DIGITS or body[length >> 1].isdigit():  # the middle of a shorter text lies in such a number
        has_long_number = _LONG_NUMBER(body[::_STRIDE]) is not None
        if has_long_number:
            return True
    if length <= 2 * NESTED_LEVELS or body.count("[") + body.count("{") <= NESTED_LEVELS:
        return False
    return is_deeper(body.encode(), NESTED_LEVELS)


def _has_long_number(body: bytearray) -> bool:
    """Tell whether so many digits follow each other; where the samples say so, all of what lies between them is read.

    Every thousandth place in a text of hexadecimal digits looks like a number by its samples alone.
    """
    for samples in _LONG_NUMBERS(body[::_STRIDE]):
        if _WHOLE_NUMBER(body, max(0, samples.start() - 1) * _STRIDE, samples.end() * _STRIDE):
            return True
    return False


def why_unreadable(client: Client, body: str | bytearray) -> str:
    """Say why no worker can read an event as it was published; nothing if it can.

    Args:
        client: Its `serializer` and `call` decide how a worker gets the event.
        body: The event as JSON text, as Postgres made it.
    """
    levels = NESTED_LEVELS + (client.call in ("event", "cloudevent"))  # the event itself is one more
    hook = _refuse_typed if client.serializer == "json" else None
    try:
        value = json.loads(body, object_hook=hook, parse_int=_whole, parse_float=_fraction)
    except RecursionError:
        return _too_deep()
    except _Unreadable as error:
        return str(error)
    except ValueError as error:
        return f"Python can't read it: {error}"[:200]
    return _too_deep() if depth(value) > levels else ""


def sort_out(client: Client, deliveries: Sequence[Delivery]) -> tuple[Sequence[Delivery], list[Undeliverable]]:
    """Tell deliveries that a worker can read from the others, and say why of these."""
    bodies = [delivery.body for delivery in deliveries]
    found = {nth: why for nth in _suspects(bodies) if (why := why_unreadable(client, bodies[nth]))}
    if client.call == "kwargs":
        found |= {nth: NO_KEYWORDS for nth, body in enumerate(bodies) if body[0] not in _OPENS_OBJECT}
    if not found:
        return deliveries, []
    refused = [Undeliverable(deliveries[nth].offset, why) for nth, why in sorted(found.items())]
    return [delivery for nth, delivery in enumerate(deliveries) if nth not in found], refused


def _suspects(bodies: Sequence[str | bytearray]) -> list[int]:
    """Return the numbers of those that are suspect."""
    try:
        texts = cast("Sequence[str]", bodies)
        if QUOTED_TYPE not in "".join(texts):  # one search in all of them costs less than one in each
            return [nth for nth, body in enumerate(texts) if len(body) > FLOAT_DIGITS and _is_suspect_at_length(body)]
    except TypeError:  # some are large
        pass
    return [nth for nth, body in enumerate(bodies) if is_suspect(body)]


def _refuse_typed(value: dict[str, Any]) -> dict[str, Any]:
    if value.keys() == {TYPE, VALUE}:
        raise _Unreadable(
            f'it holds {{"{TYPE}": {json.dumps(value[TYPE])[:50]}, "{VALUE}": …}}, which Celery\'s JSON takes for '
            "something else than an object: it can't arrive as it was published"
        )
    return value


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > INTEGER_DIGITS:
        raise _Unreadable(f"it holds a number of {len(digits):,} digits: Python reads at most {INTEGER_DIGITS:,}")
    return 0


def _fraction(digits: str) -> float:
    if abs(float(digits)) == float("inf"):
        raise _Unreadable("it holds a fraction beyond 1e308: it would arrive as infinite")
    return 0.0


def _too_deep() -> str:
    return f"it is nested too deeply: every worker can read {NESTED_LEVELS} levels, and hardly any reads many more"
