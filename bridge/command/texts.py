"""What people see: pure functions from rows to words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from textwrap import wrap
from typing import Any

import click
from rich.text import Text

from bridge.store.clients import Registered
from bridge.wording import counted, span

NO_CLIENTS = "no clients yet: `bridge register CLIENT --task NAME` makes one"
INDENT = 11  # columns before the words of a setting
STATE_STYLES = {"active": "green", "paused": "yellow", "draining": "yellow", "halted": "bold red", "reader": "dim"}


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
    attempts = counted(row["max_attempts"], "attempt")
    if row["max_attempts"] > 1:
        attempts += f", {span(row['backoff_seconds'])} to {span(row['backoff_max_seconds'])} apart"
    if row["batch"] > 1:
        handed = {"list": "one call with the list", "calls": "a call for each"}
        wait = f", which wait at most {row['batch_wait_ms']:,} ms"
        yield "batch", f"up to {row['batch']:,} events in one message{wait}; {handed[row['batch_as']]}"
    if row["report_by"] == "in-process":
        yield "report", "the fleet's workers report outcomes to Postgres themselves"
    yield "failure", f"{attempts}, then {exhausted[row['on_exhausted']]}"
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


def plain(text: str) -> str:
    """Text without characters that move a terminal's cursor or change its colours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
