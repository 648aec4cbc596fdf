"""Put clients and events into words: pure functions from rows to text, but for `as_typed`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from bridge.command.invocation import as_typed
from bridge.settings.client import DEFAULT_BRIDGE
from bridge.wording import counted, moment, span

if TYPE_CHECKING:
    from bridge.operate.registering import RegisteredClient
    from bridge.store.clients import ListedClient
    from bridge.store.events import LoggedEvent

NO_CLIENTS = "no clients yet: `eventbridge register CLIENT --task NAME` makes one"
INDENT_COLUMNS = 11  # before the words of a setting
MOST_NAMED = 20  # offsets in a line
SHOWN_CHARACTERS = 2000  # of a payload, in a line for people
ORDERING = {"key": "one event at a time for each key", "none": "any", "strict": "one event at a time"}
CALL = {
    "event": "the whole event",
    "payload": "its payload",
    "kwargs": "its payload's fields as keywords",
    "cloudevent": "a CloudEvent",
}
BATCH_AS = {"list": "one call with the list", "calls": "a call for each"}
EXHAUSTED = {"park": "park it", "hold-key": "park it and hold back its key", "halt": "halt the client"}
STATE_STYLES = {"active": "green", "paused": "yellow", "draining": "yellow", "halted": "bold red", "reader": "dim"}


def clients_view(clients: Sequence[ListedClient], *, width: int) -> Text:
    """Show the settings of clients, a block each."""
    if not clients:
        return Text(as_typed(NO_CLIENTS))
    blocks = []
    for client in clients:
        state = "reader" if client.is_reader else client.state
        block = Text.assemble((plain(client.id), "bold"), "  ", (state, STATE_STYLES.get(state, "")))
        for name, words in _settings(client):
            for nth, line in enumerate(wrap(words, max(20, width - INDENT_COLUMNS), break_on_hyphens=False)):
                block.append(f"\n{'' if nth else '  ' + name:<{INDENT_COLUMNS}}", style="dim").append(line)
        blocks.append(block)
    return Text("\n\n").join(blocks)


def _settings(client: ListedClient) -> Iterator[tuple[str, str]]:
    """Put a client's settings into words, those that are as usual left out."""
    if client.is_reader:
        yield "cursor", f"{client.offset:,}, which it moves itself in SQL"
        return
    its: Mapping[str, Any] = client.settings
    yield "task", f"{plain(its['task'])} on queue {plain(its['queue'])}, called with {CALL[its['call']]}"
    if its["routes"]:
        yield "routes", ", ".join(f"{plain(pattern)} to {plain(task)}" for pattern, task in its["routes"])
    if its["bridge"] != DEFAULT_BRIDGE:
        yield "bridge", plain(its["bridge"])
    yield "topics", ", ".join(map(plain, its["topics"]))
    yield "order", f"{ORDERING[its['ordering']]}; at most {its['window']:,} open"
    yield "lease", f"handed over again after {span(its['ack_timeout_seconds'])} without an answer"
    if its["rate"]:
        burst = f", {its['burst']:,} at once" if its["burst"] else ""
        yield "rate", f"at most {plain(its['rate'])}{burst}; retries count"
    yield from _of_messages(its)
    if its["report_by"] == "in-process":
        yield "report", "the fleet's workers report outcomes to Postgres themselves"
    attempts = counted(its["max_attempts"], "attempt")
    if its["max_attempts"] > 1:
        attempts += f", {span(its['backoff_seconds'])} to {span(its['backoff_max_seconds'])} apart"
    yield "failure", f"{attempts}, then {EXHAUSTED[its['on_exhausted']]}"
    yield "cursor", f"{client.offset:,}"


def _of_messages(its: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Put into words what messages carry, and how many events."""
    said = [f"priority {its['priority']}"] if its["priority"] else []
    said += [f"with headers {', '.join(map(plain, its['headers']))}"] if its["headers"] else []
    if said:
        yield "messages", "; ".join(said)
    if its["time_limit_seconds"] or its["soft_time_limit_seconds"]:
        limits = {"soft limit": its["soft_time_limit_seconds"], "hard limit": its["time_limit_seconds"]}
        yield "limits", ", ".join(f"{name} {span(value)}" for name, value in limits.items() if value)
    if its["batch"] > 1:
        wait = f", which wait at most {its['batch_wait_ms']:,} ms"
        yield "batch", f"up to {its['batch']:,} events in one message{wait}; {BATCH_AS[its['batch_as']]}"


def registered_line(result: RegisteredClient) -> str:
    """Say in one line what a registration did."""
    client = result.client
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
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


def event_line(event: LoggedEvent) -> str:
    """Show an event in one line, with colours that click takes off where the output is no terminal."""
    parts = [
        click.style(f"{event.offset:>8}", fg="cyan"),
        click.style(moment(event.created_at), dim=True),
        click.style(plain(event.topic), bold=True),
    ]
    if event.key is not None:
        parts.append(f"key={plain(event.key)}")
    parts.append(_cut(event.payload_json))
    if event.headers_json != "{}":
        parts.append(click.style(f"headers={_cut(event.headers_json)}", dim=True))
    return "  ".join(parts)


def _cut(text: str) -> str:
    """Return a text as a terminal can show it; one that was cut off says so."""
    return plain(text) + ("…" if len(text) == SHOWN_CHARACTERS else "")


def some_offsets(offsets: Sequence[int]) -> str:
    """Name the first offsets of many."""
    more = len(offsets) - MOST_NAMED
    return ", ".join(map(str, offsets[:MOST_NAMED])) + (f" and {more:,} more" if more > 0 else "")


def plain(text: str) -> str:
    """Return a text without characters that move a terminal's cursor or change its colours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
