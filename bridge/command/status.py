"""`eventbridge status`: where every client stands, once or again and again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from bridge.command.completion import known_clients
from bridge.command.group import say_warning
from bridge.command.invocation import as_typed
from bridge.command.output import console, print_json
from bridge.command.parameters import SecondsFrom, json_option
from bridge.command.project import operator_here
from bridge.command.status_view import scheduled_line, status_view
from bridge.errors import Unavailable
from bridge.operate.patience import Patience
from bridge.wording import counted

if TYPE_CHECKING:
    from bridge.operate.operator import Operator
    from bridge.operate.viewer import Viewer
    from bridge.store.status import ClientStatus

FOLLOW_SECONDS = 2.0


@click.command("status")
@click.argument("client", required=False, shell_complete=known_clients)
@click.option(
    "--watch",
    "seconds",
    type=SecondsFrom(0.1),
    metavar="SECONDS",
    help="Look again every so many seconds, until Ctrl-C; with --json, one line each time.",
)
@click.option("--follow", "-f", is_flag=True, help="As --watch 2.")
@click.option("--ask-workers", is_flag=True, help="Also ask the workers, and name clients whose task none knows.")
@json_option
@click.pass_context
def status_command(
    ctx: click.Context,
    /,
    *,
    client: str | None,
    seconds: float | None,
    follow: bool,
    ask_workers: bool,
    as_json: bool,
) -> None:
    """Show where every client stands, or only CLIENT.

    Lag counts the matching events above the cursor, and lag time is the age of the oldest of them. Open events were
    handed over and are not finished. Waiting events wait for an earlier event of their key. Parked events were set
    aside after their last attempt.
    """
    operator = operator_here(ctx)
    if follow and seconds is None:
        seconds = FOLLOW_SECONDS
    if seconds is None:
        rows = operator.status(client)
        if as_json:
            print_json(_with_unreadable(operator, rows))
        else:
            out = console(ctx)
            out.print(status_view(rows, width=out.width))
            _say_more(operator, out)
        if ask_workers:
            for said in operator.unknown_tasks(*(row.client for row in rows)).values():
                say_warning(said)
    elif as_json:
        patience = Patience()
        while True:
            rows = patience.read(partial(operator.status, client))
            print_json(_with_unreadable(operator, rows), indent=None)
            time.sleep(seconds)
    else:
        _watch(operator, client, console(ctx), seconds)


def _say_more(operator: Operator, out: Console) -> None:
    """Say what is to be known beside the clients."""
    for cause in operator.waits():
        say_warning(f"{cause.text}: {cause.do}")
    if number := operator.unreadable():
        say_warning(f"{counted(number, 'message is', 'messages are')} set aside: `eventbridge about unreadable`")
    if said := scheduled_line(operator.count_scheduled()):
        out.print(said, style="dim")
    if warning := operator.size_warning():
        say_warning(warning)


def _with_unreadable(operator: Operator, rows: Sequence[ClientStatus]) -> list[dict[str, Any]]:
    """Return the rows as JSON has them: with how many messages were set aside on the broker of this bridge."""
    number, own = operator.unreadable(), operator.bridge
    return [
        {**{name: getattr(row, name) for name in row.__slots__}, "unreadable": number if row.bridge == own else None}
        for row in rows
    ]


def _watch(viewer: Viewer, client: str | None, out: Console, seconds: float) -> None:
    """Show the table until Ctrl-C, in place where stdout is a terminal; keep on while the database is away."""
    live = Live(console=out, auto_refresh=False) if out.is_terminal else None
    if live:
        live.start()
    try:
        view: RenderableType = Text("")
        while True:
            try:
                view = shown = status_view(viewer.status(client), width=out.width)
            except Unavailable as error:
                shown = Group(view, Text(f"error: {as_typed(str(error))}", style="red"))
            if live:
                live.update(shown, refresh=True)
            else:
                out.print(shown)
            time.sleep(seconds)
    finally:
        if live:
            live.stop()
