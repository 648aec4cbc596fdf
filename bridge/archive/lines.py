"""An event as a line of an archive, and back. Payload and headers are text that nothing parses on its way.

`headers_length` says how many characters of the line are headers: so a line is cut where they end, whatever is in them.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import NamedTuple

from bridge.errors import BridgeError

HEADERS, PAYLOAD = ', "headers": ', ', "payload": '
ERASED_PAYLOAD, ERASED_HEADERS = '{"erased": true}', "{}"  # of an erased event, as Postgres writes them


class ArchiveDamaged(BridgeError):
    """A file of an archive is not as it was written."""


class ArchivedEvent(NamedTuple):
    """An event as an archive keeps it; payload and headers are JSON text."""

    offset: int
    generation: int
    topic: str
    key: str | None
    payload_json: str
    headers_json: str
    created_at: datetime

    @property
    def is_erased(self) -> bool:
        """Whether what it held is erased."""
        return self.payload_json == ERASED_PAYLOAD and self.headers_json == ERASED_HEADERS


def line_of(event: ArchivedEvent) -> str:
    """Return an event as one line of JSON, without the line's end; `publish --many` takes it too."""
    head = {
        "offset": event.offset,
        "generation": event.generation,
        "topic": event.topic,
        "key": event.key,
        "created_at": event.created_at.isoformat(),
        "headers_length": len(event.headers_json),
    }
    return f"{json.dumps(head, ensure_ascii=False)[:-1]}{HEADERS}{event.headers_json}{PAYLOAD}{event.payload_json}}}"


def event_of(line: str) -> ArchivedEvent:
    """Read a line.

    Raises:
        ArchiveDamaged: it is no such line.
    """
    # The first one: within a string of the head, quotes are escaped.
    head_text, found, rest = line.partition(HEADERS)
    try:
        head = json.loads(head_text + "}")
        headers, rest = rest[: head["headers_length"]], rest[head["headers_length"] :]
        if not found or not rest.startswith(PAYLOAD) or not rest.endswith("}"):
            raise ValueError("it is cut off")
        return ArchivedEvent(
            head["offset"],
            head["generation"],
            head["topic"],
            head["key"],
            rest[len(PAYLOAD) : -1],
            headers,
            datetime.fromisoformat(head["created_at"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveDamaged(f"a line of the archive can't be read: {error}: {line[:80]!r}") from error
