"""Publish events from lines of JSON, as `tail --json` prints them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection

from bridge.bounds import BATCH_BYTES
from bridge.errors import InvalidEvent
from bridge.event import NewEvent
from bridge.log.publish import publish, publish_many

CHUNK_EVENTS = 2000  # of one statement
DRAWN = ("offset", "created_at", "generation", "headers_length")  # as `tail` and archives have them


def publish_lines(connection: Connection, lines: Iterable[bytes], *, name: str) -> Iterator[int]:
    """Append the events in these lines of JSON, and yield their offsets.

    Args:
        connection: In a transaction of the caller, who commits it.
        lines: JSON objects with topic, and optionally payload, key, headers and id; empty lines are left out.
        name: What to call the lines in a message, such as the file's name.

    Raises:
        InvalidEvent: a line holds no event, the message says which; the caller must roll the transaction back.
    """
    numbered = ((f"{name}, line {number}", line) for number, line in enumerate(lines, 1) if line.strip())
    for chunk in _chunks(numbered):
        try:
            yield from publish_many(connection, [event for _, event in chunk])
        except InvalidEvent:
            # Find out which event it is. What is sent on the way is rolled back with the rest.
            for where, event in chunk:
                try:
                    topic, payload, key, headers, id = event
                    publish(connection, topic, payload, key=key, headers=headers, id=id)
                except InvalidEvent as error:
                    raise InvalidEvent(f"{where}: {error}") from error
            raise


def _chunks(lines: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, NewEvent]]]:
    """Yield events, each with the place of its line, so many together; of large ones fewer."""
    chunk, left = list[tuple[str, NewEvent]](), BATCH_BYTES
    for where, line in lines:
        chunk.append((where, _event(line, where)))
        left -= len(line)
        if left <= 0 or len(chunk) == CHUNK_EVENTS:
            yield chunk
            chunk, left = [], BATCH_BYTES
    if chunk:
        yield chunk


def parse_json(text: str | bytes, what: str) -> Any:
    """Read a JSON text.

    Raises:
        InvalidEvent: it is none; the message names `what` it was to be.
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


def _event(line: bytes, where: str) -> NewEvent:
    fields: Any = parse_json(line, where)
    if not isinstance(fields, dict):
        raise InvalidEvent(f"{where} is not a JSON object with topic, payload, key and headers")
    unknown = sorted(set(fields) - set(NewEvent._fields) - set(DRAWN))
    if unknown:
        raise InvalidEvent(f"{where} has a field {unknown[0]!r}: an event has {', '.join(NewEvent._fields)}")
    if "topic" not in fields:
        raise InvalidEvent(f"{where} names no topic")
    return NewEvent(
        fields["topic"], fields.get("payload", {}), fields.get("key"), fields.get("headers"), fields.get("id")
    )
