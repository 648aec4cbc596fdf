"""`eventbridge show`: what became of one event at every client, or where a key stands at each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.console import Console
from rich.text import Text

from bridge.command.group import not_there
from bridge.command.invocation import as_typed, say
from bridge.command.output import console, event_json, laid_out, print_json, timestamp
from bridge.command.parameters import archive_option, event_offset, json_option
from bridge.command.project import operator_here
from bridge.command.texts import SHOWN_CHARACTERS, event_line, plain, some_offsets
from bridge.operate.fate import Fate
from bridge.operate.finding import FoundEvent
from bridge.store.looking_up import KeyAtClient
from bridge.wording import counted

FATE_COLUMNS = 12  # of a fate, and of what stands before it
STYLES = {
    "parked": "bold red",
    "retrying": "yellow",
    "waiting": "yellow",
    "open": "cyan",
    "done": "green",
    "not-read": "dim",
    "skipped": "dim",
}


@click.command("show", short_help="Show what became of an event, or of a key, at every client.")
@click.argument("offset", type=event_offset, required=False)
@click.option("--key", metavar="KEY", help="Instead of one event: where the events of this key stand.")
@archive_option
@json_option
@click.pass_context
def show_command(
    ctx: click.Context, /, *, offset: int | None, key: str | None, archive: str | None, as_json: bool
) -> None:
    """Show the event at OFFSET, and what became of it at every client.

    With --key it says which clients have handled events of this key, up to which one, and what is open, parked or
    waiting. Both are found by an index, however long the log is. An event that was pruned is looked for in the archive.
    """
    if (offset is None) == (key is None):
        raise click.UsageError("say which OFFSET, or which --key")
    operator = operator_here(ctx)
    if key is not None:
        found = operator.key(key)
        if as_json:
            print_json([it._asdict() for it in found])
        else:
            out = console(ctx)
            for it in found:
                out.print(laid_out(_key_line(it), out))
            if not found:
                say("there are no clients")
        if found and not any(it.handled is not None or _has(it) for it in found):
            not_there(ctx, f"no client has, or will get, an event of key {plain(key)}", as_json=as_json)
        return
    shown = operator.show(offset or 0, characters=None if as_json else SHOWN_CHARACTERS, archive=archive)
    if as_json:
        click.echo(_as_json(shown))
    else:
        _show(shown, console(ctx))
    if shown.event is None:
        not_there(ctx, f"event {shown.offset} can't be shown: {shown.note}", as_json=as_json)


def _show(shown: FoundEvent, out: Console) -> None:
    if shown.event is not None:
        out.print(laid_out(Text.from_ansi(event_line(shown.event)), out))
        if shown.note:
            out.print(laid_out(Text(as_typed(shown.note), style="yellow"), out))
    elif shown.fates:
        out.print(Text(f"event {shown.offset} of generation {shown.generation}", style="cyan"))
    width = _width(shown.fates) + 2
    beside = width + FATE_COLUMNS <= out.width // 2  # else the words would have no room beside the names
    for it in shown.fates:
        name = Text(f"  {plain(it.client)}", style="bold")
        if beside:
            name.pad_right(width - name.cell_len)
        else:
            out.print(name)
            name = Text("  ")
        fate = Text(f"  {it.fate:<10}", style=STYLES.get(it.fate, ""))
        said = name.append_text(fate).append_text(Text(plain(it.text)))
        out.print(laid_out(said, out, indent=FATE_COLUMNS + (width if beside else 2)))


def _width(fates: Sequence[Fate]) -> int:
    return max((len(plain(it.client)) for it in fates), default=0)


def _has(it: KeyAtClient) -> bool:
    """Tell whether a client has an event of the key before it, or in hand."""
    return bool(it.open or it.parked or it.waiting or it.unread)


def _key_line(it: KeyAtClient) -> Text:
    parts = []
    if it.handled is None:
        parts.append("has handled no event of it")
    elif it.handled <= it.counted_after and not it.is_reader:
        parts.append(f"is behind event {it.handled}, handled or passed over when it began or was moved")
    else:
        parts.append(f"has handled it up to event {it.handled}")
    for offsets, word in ((it.open, "open"), (it.parked, "parked")):
        if offsets:
            parts.append(f"{word}: {some_offsets(offsets)}")
    if it.waiting:
        parts.append(counted(it.waiting, "event waits", "events wait"))
    if it.unread:
        parts.append(f"{it.unread:,} not read yet")
    if it.has_more:
        parts.append("there are more than these")
    return Text.assemble((plain(it.client), "bold"), "  ", "; ".join(parts))


def _as_json(shown: FoundEvent) -> str:
    """Return an event and its fates as JSON; what Python can't read of the event is what Postgres wrote."""
    beside = asdict(shown)
    del beside["event"]
    event = event_json(shown.event) if shown.event is not None else "null"
    text = json.dumps(beside, default=timestamp)
    return f'{text[:-1]}, "event": {event}}}'
