"""What people see: pure functions from rows to text and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from textwrap import wrap
from typing import Any, NamedTuple

import click
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.store.clients import Registered

COUNTED = 100_000  # status.sql counts the lag no further
NO_CLIENTS = "no clients yet: `bridge register CLIENT --task NAME` makes one"
INDENT = 11  # columns before the words of a setting
STATE_STYLES = {"active": "green", "paused": "yellow", "halted": "bold red", "reader": "dim"}


class Column(NamedTuple):
    """A column of the status table; those of the highest rank go first where the terminal is narrow."""

    name: str
    rank: int
    left: bool = False


COLUMNS = (
    Column("client", 0, left=True),
    Column("state", 0, left=True),
    Column("lag", 0),
    Column("behind", 1),
    Column("open", 0),
    Column("waiting", 3),
    Column("parked", 0),
    Column("offset", 2),
    Column("dispatched", 4),
)


def status_view(rows: Sequence[Mapping[str, Any]], *, width: int) -> RenderableType:
    """Where clients stand: a table that fits the width, and what is wrong with them in words below it."""
    if not rows:
        return Text(NO_CLIENTS)
    notes = [note for row in rows for note in _notes(row)]
    horizon = rows[0]["horizon"]
    final = f"final up to {horizon:,}" if horizon >= 0 else "empty, or no pump has looked at it yet"
    return Group(_fitting(rows, width), Text(), *notes, Text(f"the log is {final}", style="dim"))


def _fitting(rows: Sequence[Mapping[str, Any]], width: int) -> Table:
    """The widest table that fits; the columns that matter most stay in any case."""
    measuring = Console(width=10_000)
    for rank in range(max(column.rank for column in COLUMNS), -1, -1):
        table = _status_table(rows, [column for column in COLUMNS if column.rank <= rank])
        if measuring.measure(table).maximum <= width:
            break
    return table


def _status_table(rows: Sequence[Mapping[str, Any]], columns: Iterable[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold", pad_edge=False)
    columns = list(columns)
    for column in columns:
        narrows = column.name == "client"  # a name may break into lines, a number must not
        table.add_column(column.name, justify="left" if column.left else "right", overflow="fold", no_wrap=not narrows)
    for row in rows:
        cells = _cells(row)
        table.add_row(*(cells[column.name] for column in columns))
    return table


def _cells(row: Mapping[str, Any]) -> dict[str, Text]:
    driven = row["state"] != "reader"
    lag = f"{row['lag_events']:,}" + ("+" if row["lag_events"] >= COUNTED else "")
    return {
        "client": Text(plain(row["client"])),
        "state": Text(row["state"], style=STATE_STYLES.get(row["state"], "")),
        "lag": Text(lag, style="" if row["lag_events"] else "dim"),
        "behind": Text(
            span(row["lag_seconds"]) if row["lag_events"] else "-", style="" if row["lag_events"] else "dim"
        ),
        "open": Text(f"{row['open']:,} / {row['window']:,}") if driven else Text("-", style="dim"),
        "waiting": _count(row["waiting"], driven),
        "parked": _count(row["parked"], driven, style="bold red"),
        "offset": Text(f"{row['offset']:,}"),
        "dispatched": _count(row["dispatched"], driven, zero=""),
    }


def _count(number: int, driven: bool, *, style: str = "", zero: str = "dim") -> Text:
    return Text(f"{number:,}", style=style if number else zero) if driven else Text("-", style="dim")


def _notes(row: Mapping[str, Any]) -> Iterable[Text]:
    name = plain(row["client"])
    if row["state"] in ("paused", "halted"):
        by = f" by {plain(row['state_by'])}" if row["state_by"] else ""
        why = f": {plain(row['state_reason'])}" if row["state_reason"] else ""
        yield Text(f"{name} is {row['state']}{by}{why}", style=STATE_STYLES[row["state"]])
    if row["retrying"]:
        yield Text(
            f"{name} has {row['retrying']:,} events that failed and wait for their next attempt",
            style="yellow",
        )
    if row["trouble"]:
        yield Text(f"{name} could not be served: {plain(row['trouble'])}", style="red")


def clients_view(rows: Sequence[Mapping[str, Any]], *, width: int) -> Text:
    """The settings of clients, a block each."""
    if not rows:
        return Text(NO_CLIENTS)
    blocks = []
    for row in rows:
        state = row["state"] if row["task"] else "reader"
        block = Text.assemble((plain(row["id"]), "bold"), "  ", (state, STATE_STYLES.get(state, "")))
        for name, words in _settings(row):
            for nth, line in enumerate(wrap(words, max(20, width - INDENT), break_on_hyphens=False)):
                block.append(f"\n{'' if nth else '  ' + name:<{INDENT}}", style="dim").append(line)
        blocks.append(block)
    return Text("\n\n").join(blocks)


def _settings(row: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if not row["task"]:
        yield "cursor", f"{row['offset']:,}, which it moves itself in SQL"
        return
    ordering = {"key": "one event at a time for each key", "none": "any", "strict": "one event at a time"}
    call = {
        "event": "the whole event",
        "payload": "its payload",
        "kwargs": "its payload's fields as keywords",
    }
    exhausted = {"park": "park it", "hold-key": "park it and hold back its key", "halt": "halt the client"}
    yield "task", f"{plain(row['task'])} on queue {plain(row['queue'])}, called with {call[row['call']]}"
    if row["routes"]:
        yield "routes", ", ".join(f"{plain(pattern)} to {plain(task)}" for pattern, task in row["routes"])
    yield "topics", ", ".join(map(plain, row["topics"]))
    yield "order", f"{ordering[row['ordering']]}; at most {row['window']:,} open"
    yield "lease", f"handed over again after {span(row['ack_timeout_seconds'])} without an answer"
    waits = f"{span(row['backoff_seconds'])} to {span(row['backoff_max_seconds'])} apart"
    yield "failure", f"{row['max_attempts']:,} attempts, {waits}, then {exhausted[row['on_exhausted']]}"
    yield "cursor", f"{row['offset']:,}"


def registered_line(client: str, result: Registered) -> str:
    """What a registration did, in one line."""
    if result.created:
        where = "at the beginning of the log" if result.offset < 0 else f"after offset {result.offset}"
        return f"client {client} is registered and begins {where}"
    if result.changed:
        changes = ", ".join(
            f"{name} {_word(before)} -> {_word(after)}" for name, (before, after) in result.changed.items()
        )
        return f"client {client} is changed: {changes}; its cursor stays at {result.offset}"
    return f"client {client} is up to date, its cursor stands at {result.offset}"


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_word, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def event_line(event: Mapping[str, Any]) -> str:
    """An event in one line, with colours that click takes off where they don't belong."""
    moment = event["created_at"].astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    parts = [
        click.style(f"{event['offset']:>8}", fg="cyan"),
        click.style(moment, dim=True),
        click.style(plain(event["topic"]), bold=True),
    ]
    if event["key"] is not None:
        parts.append(f"key={plain(event['key'])}")
    parts.append(plain(json.dumps(event["payload"], ensure_ascii=False)))
    if event["headers"]:
        parts.append(click.style(f"headers={plain(json.dumps(event['headers'], ensure_ascii=False))}", dim=True))
    return "  ".join(parts)


def span(seconds: float) -> str:
    """A duration in the one unit that says most."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or seconds == size:
            return f"{seconds / size:,.1f} {unit}".replace(".0 ", " ")
    return f"{seconds:.1f} s".replace(".0 ", " ") if seconds < 10 else f"{seconds:.0f} s"


def plain(text: str) -> str:
    """Text without characters that move a terminal's cursor or change its colours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
