"""Options and arguments that are more than text: topic patterns, offsets, JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from bridge.errors import InvalidEvent, UsageError
from bridge.topics import TOPIC_PATTERN


def topics(text: str) -> tuple[str, ...]:
    """The topic patterns between commas.

    Raises:
        UsageError: no topic could match one of them.
    """
    patterns = tuple(pattern.strip() for pattern in text.split(","))
    for pattern in patterns:
        if not TOPIC_PATTERN.fullmatch(pattern):
            raise UsageError(
                f"topic pattern {pattern!r} is malformed: dotted words, '*' for exactly one word, "
                "'#' for any number of words, as in order.* or order.#"
            )
    return patterns


def offset(text: str) -> int:
    """The offset of an event."""
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise click.BadParameter(f"{text!r} is not the offset of an event, a number such as 1200")
    return int(text)


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def parse_json(text: str | bytes, what: str) -> Any:
    """The value of a JSON text.

    Raises:
        InvalidEvent: it is none; names `what` it was to be.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise InvalidEvent(f"{what} is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"{what} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        said = f"{error.msg[:1].lower()}{error.msg[1:]} at line {error.lineno} column {error.colno}"
        hint = ": text needs double quotes of its own" if error.msg == "Expecting value" else ""
        raise InvalidEvent(f"{what} is not JSON: {said}{hint}") from None
    except ValueError as error:
        raise InvalidEvent(f"{what} is not JSON that can be read: {error}") from None
