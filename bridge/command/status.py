"""`bridge status`: where every client stands, once or again and again."""

from __future__ import annotations

import time

import click
from rich.console import Console, Group
from rich.text import Text

from bridge.command.output import console, print_json
from bridge.command.parameters import as_json
from bridge.command.project import ready_store
from bridge.command.status_view import status_view
from bridge.errors import Unavailable
from bridge.store import Store
from bridge.store import clients as stored


@click.command()
@click.argument("client", required=False)
@click.option(
    "--watch",
    "seconds",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="Look again every so many seconds, until Ctrl-C; with --json, one line each time.",
)
@as_json
@click.pass_context
def status(ctx: click.Context, client: str | None, seconds: float | None, as_json: bool) -> None:
    """Show where every client stands, or only CLIENT.

    Lag counts the matching events above the cursor. Open events are in the fleet's hands, waiting ones wait for an
    earlier event of their key, and parked ones were set aside after their last attempt.
    """
    store = ready_store(ctx)
    if seconds is None:
        rows = stored.status(store, client)
        if as_json:
            print_json(rows)
        else:
            out = console(ctx)
            out.print(status_view(rows, width=out.width))
    elif as_json:
        while True:
            print_json(stored.status(store, client), indent=None)
            time.sleep(seconds)
    else:
        _watch(store, client, console(ctx), seconds)


def _watch(store: Store, client: str | None, out: Console, seconds: float) -> None:
    """Show the table until Ctrl-C, in place where stdout is a terminal; wait for a database that is away for a while."""
    from rich.live import Live

    live = Live(console=out, auto_refresh=False) if out.is_terminal else None
    if live:
        live.start()
    try:
        view: object = Text("")
        while True:
            try:
                view = shown = status_view(stored.status(store, client), width=out.width)
            except Unavailable as error:
                shown = Group(view, Text(f"error: {error}", style="red"))  # type: ignore[arg-type]
            if live:
                live.update(shown, refresh=True)
            else:
                out.print(shown)
            time.sleep(seconds)
    finally:
        if live:
            live.stop()
