"""How results reach the terminal, a pipe, or a program."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

PIPE_COLUMNS = 500  # nothing is cut off where no terminal sets a width


def console(ctx: click.Context) -> Console:
    """A console on stdout as it is now, in colour if that is a terminal and nobody said no."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale without our characters must not stop us
    plain = Console(highlight=False, markup=False, emoji=False, no_color=True if ctx.obj.no_color else None)
    if not plain.is_terminal and "COLUMNS" not in os.environ:
        plain.width = PIPE_COLUMNS
    return plain


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a value as JSON; with `indent=None` in one line."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    click.echo(json.dumps(value, indent=indent, ensure_ascii=encoding != "utf8", default=_encode))


def without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The mapping but for these names."""
    return {name: value for name, value in row.items() if name not in names}


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return timestamp(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def timestamp(moment: datetime) -> str:
    """A moment as the handlers of events get it: UTC, microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
