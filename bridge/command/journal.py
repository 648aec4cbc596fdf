"""`eventbridge journal`: who did what to which client, and when."""

from __future__ import annotations

import json

import click
from rich.text import Text

from bridge.command.completion import known_clients
from bridge.command.invocation import say
from bridge.command.output import console, laid_out, print_json
from bridge.command.parameters import COUNT, follow_option, json_option, span_seconds
from bridge.command.project import operator_here
from bridge.command.texts import plain
from bridge.operate.archive_journal import ArchivedJournal
from bridge.settings.client import SETTINGS
from bridge.store.journal import JournalEntry
from bridge.wording import counted, moment


@click.command("journal", short_help="Show who did what to which client, the newest first.")
@click.argument("client", required=False, shell_complete=known_clients)
@click.option("-n", "most", type=COUNT, default=20, metavar="N", show_default=True, help="Show at most N entries.")
@click.option("--archive", metavar="DIR", help="Move old entries into files in a directory, or at a URL, instead.")
@click.option(
    "--older-than",
    "older_seconds",
    type=span_seconds,
    metavar="SPAN",
    help="With --archive: only entries that are older, as in 365d.",
)
@follow_option
@json_option
@click.pass_context
def journal_command(
    ctx: click.Context,
    /,
    *,
    client: str | None,
    most: int,
    archive: str | None,
    older_seconds: float | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Show what was done to CLIENT, or to all clients, the newest first; with --follow the newest last.

    Clients that were removed are still in the journal. Nothing is taken out of it but by --archive, which moves old
    entries of all clients into files, and notes in the journal into which.
    """
    operator = operator_here(ctx)
    if archive is not None or older_seconds is not None:
        if archive is None or older_seconds is None or client is not None:
            raise click.UsageError("to archive the journal of all clients say both --archive DIR and --older-than SPAN")
        _show_archived(operator.archive_journal(archive, older_seconds=older_seconds), as_json=as_json)
        return
    if follow:
        out = console(ctx)
        for entry in operator.follow_journal(client, most=most):
            if as_json:
                print_json(entry, indent=None)
            else:
                out.print(laid_out(_line(entry), out))
        return
    entries = operator.journal(client, most=most)
    if as_json:
        print_json(entries)
        return
    out = console(ctx)
    for entry in entries:
        out.print(laid_out(_line(entry), out))
    if not entries:
        say("nothing was done yet" if client is None else f"nothing is noted of client {client}")


def _show_archived(moved: ArchivedJournal, *, as_json: bool) -> None:
    if as_json:
        print_json(moved._asdict())
        return
    say(f"{counted(moved.entries, 'entry', 'entries')} of the journal moved into the archive")
    for file in moved.files:
        say(f"  {file}")


def _line(entry: JournalEntry) -> Text:
    told = dict(entry.details)
    if entry.action == "register" and isinstance(told.get("settings"), dict):
        settings = told.pop("settings")  # those that are as in every client say nothing
        told |= {name: value for name, value in settings.items() if value != _default(name)}
    details = ", ".join(f"{name} {_word(value)}" for name, value in told.items() if value not in ("", None))
    return Text.assemble(
        (moment(entry.at), "dim"),
        "  ",
        (plain(entry.client), "bold"),
        f"  {entry.action} by {plain(entry.by)}",
        (f"  {plain(details)}", "dim"),
    )


def _default(name: str) -> object:
    setting = SETTINGS.get(name)
    return list(setting.default) if setting and isinstance(setting.default, tuple) else setting and setting.default


def _word(value: object) -> str:
    if isinstance(value, dict) and value.keys() == {"from", "to"}:
        return f"{_word(value['from'])} -> {_word(value['to'])}"
    return value or "none" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
