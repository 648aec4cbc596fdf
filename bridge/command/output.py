"""How results reach the terminal, a pipe, or a program."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

from bridge.store.events import LoggedEvent

NOT_ASCII = re.compile(r"[^\x00-\x7f]")
PIPE_COLUMNS = 500  # nothing is cut off where no terminal sets a width


def console(ctx: click.Context) -> Console:
    """Return a console on stdout as it is now, in colour if that is a terminal and colours are not switched off."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale without our characters must not stop us
    plain = Console(highlight=False, markup=False, emoji=False, no_color=True if ctx.obj.no_color else None)
    if not plain.is_terminal and "COLUMNS" not in os.environ:
        plain.width = PIPE_COLUMNS
    return plain


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON; with `indent=None` in one line. Dataclasses become objects, moments UTC text."""
    click.echo(json.dumps(value, indent=indent, ensure_ascii=not _is_unicode(), default=_encode))


def event_json(event: LoggedEvent) -> str:
    """Return an event as one line of JSON. Its payload is what Postgres wrote: Python could not read every one."""
    beside = {"offset": event.offset, "topic": event.topic, "key": event.key}
    line = (
        f'{json.dumps(beside, ensure_ascii=False)[:-1]}, "payload": {event.payload_json}, '
        f'"headers": {event.headers_json}, "created_at": "{timestamp(event.created_at)}"}}'
    )
    return line if _is_unicode() else NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], line)


def _is_unicode() -> bool:
    """Tell whether stdout takes every character."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"


def _encode(value: object) -> Any:
    if isinstance(value, datetime):
        return timestamp(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} is no JSON")


def timestamp(moment: datetime) -> str:
    """Return a moment as the handlers of events get it: UTC, microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
