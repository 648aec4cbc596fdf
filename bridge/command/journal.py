"""`bridge journal`: who did what to which client, and when."""

from __future__ import annotations

import json

import click
from rich.text import Text

from bridge.command.output import console, print_json
from bridge.command.parameters import as_json
from bridge.command.project import ready_store
from bridge.command.texts import plain
from bridge.store.journal import entries

LAST = 20


@click.command(short_help="Show who did what to which client, the newest first.")
@click.argument("client", required=False)
@click.option(
    "-n", "most", type=click.IntRange(min=1), default=LAST, metavar="N", show_default=True, help="Show at most N."
)
@as_json
@click.pass_context
def journal(ctx: click.Context, client: str | None, most: int, as_json: bool) -> None:
    """Show what was done to CLIENT, or to all clients, the newest first.

    Nothing is ever taken out of the journal; clients that were removed are still in it.
    """
    rows = entries(ready_store(ctx), client, most=most)
    if as_json:
        print_json(rows)
        return
    out = console(ctx)
    for row in rows:
        details = ", ".join(
            f"{name} {_word(value)}" for name, value in row["details"].items() if value not in ("", None)
        )
        moment = row["at"].strftime("%Y-%m-%d %H:%M:%S")
        out.print(
            Text.assemble(
                (moment, "dim"), "  ", (plain(row["client"]), "bold"), f"  {row['action']} by {plain(row['by'])}"
            ),
            Text(f"  {plain(details)}", style="dim"),
            sep="",
        )
    if not rows:
        click.echo("nothing was done yet")


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
