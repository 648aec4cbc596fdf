"""How results reach the terminal, a pipe, or a program."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from bridge.command.invocation import PIPE_COLUMNS

if TYPE_CHECKING:
    from bridge.store.events import LoggedEvent

NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# What JSON leaves as it is, and a terminal obeys or does not show: C1 controls such as CSI, and changes of direction.
UNSEEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def console(ctx: click.Context) -> Console:
    """Return a console on stdout as it is now, in colour if that is a terminal and colours are not switched off."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale without our characters must not stop us
    plain = Console(highlight=False, markup=False, emoji=False, no_color=True if ctx.obj.no_color else None)
    if not plain.is_terminal and "COLUMNS" not in os.environ:
        plain.width = PIPE_COLUMNS
    return plain


def laid_out(text: Text, out: Console, *, indent: int | None = None) -> Text:
    """Return a text whose long lines go on below their own beginning, and not at the left edge.

    Args:
        text: One line or many.
        out: Where it is printed.
        indent: Where they go on; by default two columns right of where the line begins.
    """
    lines = []
    for line in text.split("\n", allow_blank=True):
        begins = len(line.plain) - len(line.plain.lstrip())
        column = min(begins + 2 if indent is None else indent, out.width // 2)
        if line.cell_len <= out.width:
            lines.append(line)
            continue
        first, *rest = line.wrap(out, out.width - column)
        for part in (first, *rest):
            part.rstrip()
        lines += [first, *(Text(" " * column).append_text(it) for it in rest)]
    return Text("\n").join(lines)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON; with `indent=None` in one line. Dataclasses become objects, moments UTC text."""
    click.echo(_seen(json.dumps(value, indent=indent, ensure_ascii=not _is_unicode(), default=_encode)))


def event_json(event: LoggedEvent) -> str:
    """Return an event as one line of JSON. Its payload is what Postgres wrote: Python could not read every one."""
    beside = {"offset": event.offset, "topic": event.topic, "key": event.key}
    line = (
        f'{json.dumps(beside, ensure_ascii=False)[:-1]}, "payload": {event.payload_json}, '
        f'"headers": {event.headers_json}, "created_at": "{timestamp(event.created_at)}"}}'
    )
    return _seen(line) if _is_unicode() else _seen(line, NOT_ASCII)


def _seen(text: str, unseen: re.Pattern[str] = UNSEEN) -> str:
    """Return JSON that says the same, with these characters written as their codes."""
    return text if text.isascii() and text.isprintable() else unseen.sub(lambda found: json.dumps(found[0])[1:-1], text)


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
