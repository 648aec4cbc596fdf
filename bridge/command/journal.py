"""`eventbridge journal`: who did what to which client, and when."""

from __future__ import annotations

import json

import click
from rich.text import Text

from bridge.command.output import console, print_json
from bridge.command.parameters import json_option
from bridge.command.project import operator_here
from bridge.command.texts import plain
from bridge.store.journal import JournalEntry


@click.command("journal", short_help="Show who did what to which client, the newest first.")
@click.argument("client", required=False)
@click.option(
    "-n", "most", type=click.IntRange(min=1), default=20, metavar="N", show_default=True, help="Show at most N entries."
)
@json_option
@click.pass_context
def journal_command(ctx: click.Context, client: str | None, most: int, as_json: bool) -> None:
    """Show what was done to CLIENT, or to all clients, the newest first.

    Nothing is ever taken out of the journal; clients that were removed are still in it.
    """
    entries = operator_here(ctx).journal(client, most=most)
    if as_json:
        print_json(entries)
        return
    out = console(ctx)
    for entry in entries:
        out.print(_line(entry))
    if not entries:
        click.echo("nothing was done yet")


def _line(entry: JournalEntry) -> Text:
    details = ", ".join(f"{name} {_word(value)}" for name, value in entry.details.items() if value not in ("", None))
    return Text.assemble(
        (entry.at.strftime("%Y-%m-%d %H:%M:%S"), "dim"),
        "  ",
        (plain(entry.client), "bold"),
        f"  {entry.action} by {plain(entry.by)}",
        (f"  {plain(details)}", "dim"),
    )


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
