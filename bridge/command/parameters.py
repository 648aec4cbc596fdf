"""Options and arguments that are more than text: topic patterns, offsets, and those that several commands have."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from math import isfinite
from typing import Any

import click

from bridge.errors import UsageError
from bridge.model import Position, moment_of
from bridge.settings.amount import seconds_of
from bridge.topics import TOPIC_PATTERN

MOST_SECONDS = 1_000_000  # some eleven days: Python's clocks and sockets take no time of any length
MOST_ROWS = 2**63 - 1  # that Postgres can count
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
archive_option = click.option(
    "--archive",
    metavar="DIR",
    help="A directory, or a URL such as s3://bucket/events, with events that were pruned.  [bridge_archive]",
)
follow_option = click.option("--follow", "-f", is_flag=True, help="Wait for more, until Ctrl-C.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do it without asking.")


def topic_patterns(text: str) -> tuple[str, ...]:
    """Read the topic patterns between commas.

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


def event_offset(text: str) -> int:
    """Read the offset of an event.

    Raises:
        click.BadParameter: it is none.
    """
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise click.BadParameter(f"{text!r} is not the offset of an event, a number such as 1200")
    return int(text)


def span_seconds(text: str) -> float:
    """Read a span of time, such as 90d, 12h, 30m or 45s.

    Raises:
        click.BadParameter: it is none.
    """
    try:
        return seconds_of(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}") from None


def moment(text: str) -> datetime:
    """Read a moment in ISO 8601; where it names no time zone, it is UTC.

    Raises:
        click.BadParameter: it is none.
    """
    if (found := moment_of(text)) is None:
        raise click.BadParameter(f"{text!r} is no timestamp such as 2026-01-31T12:00 (UTC) or 2026-01-31T12:00+01:00")
    return found


def position(text: str) -> Position:
    """Read a place in the log: `beginning`, `now`, an offset, a timestamp, or a span such as `2h`: so long ago.

    Raises:
        click.BadParameter: it is none of these.
    """
    try:
        return Position.parse(text)
    except UsageError as error:
        raise click.BadParameter(str(error)) from None


def since(text: str) -> Position:
    """Read a timestamp, or a span such as `10m` or `2h`: that long ago.

    Raises:
        click.BadParameter: it is neither.
    """
    found = moment_of(text)
    if found is not None:
        return Position(since=found)
    try:
        return Position(ago_seconds=seconds_of(text))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no span such as 10m, 2h or 3d, and no timestamp such as 2026-01-31T12:00"
        ) from None


def seconds(value: str | float) -> float:
    """Read a time in seconds, or a span with its unit, such as `90` or `2m`.

    Raises:
        click.BadParameter: it is neither.
    """
    with suppress(ValueError):
        return seconds_of(str(value))
    with suppress(ValueError):
        if isfinite(found := float(value)):
            return found
    raise click.BadParameter(f"{value!r} is no time, such as 90 (seconds), 2m or 1h")


class SecondsFrom(click.FloatRange):
    """The same, at least so many, and no more than anybody waits: `--help` says so too."""

    def __init__(self, least: float) -> None:
        super().__init__(min=least, max=MOST_SECONDS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return seconds."""
        return super().convert(seconds(value), param, ctx)


class RowCount(click.IntRange):
    """A number of rows, or of one of them, that Postgres can count. `--help` names only where the range begins."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        found = int(super().convert(value, param, ctx))
        return found if found <= MOST_ROWS else self.fail(f"{found} is too large: at most {MOST_ROWS}", param, ctx)


COUNT = RowCount(min=1)  # of rows to show


def route(text: str) -> tuple[str, str]:
    """Read `PATTERN=TASK`.

    Raises:
        click.BadParameter: it is none.
    """
    pattern, equals, task = text.partition("=")
    if not (pattern and equals and task):
        raise click.BadParameter(f"{text!r} is not PATTERN=TASK, as in 'order.cancelled=shop.refund'")
    return pattern, task
