"""`eventbridge pause`, `resume` and `remove`: stop handing events to a client, go on, and end it for good."""

from __future__ import annotations

import click

from bridge.command.completion import known_clients
from bridge.command.confirm import confirm
from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.command.parameters import json_option, yes_option
from bridge.command.project import operator_here
from bridge.wording import counted


@click.command("pause")
@click.argument("client", shell_complete=known_clients)
@click.option("--reason", default="", metavar="TEXT", help="Why, for those who read the status.")
@click.option(
    "--drain",
    is_flag=True,
    help="First let open events finish, with all their retries; no new event goes out meanwhile.",
)
@json_option
@click.pass_context
def pause_command(ctx: click.Context, client: str, reason: str, drain: bool, as_json: bool) -> None:
    """Stop handing events to CLIENT.

    Events that are open now still finish, and the cursor moves with them. All others wait in the log.
    """
    operator = operator_here(ctx)
    state = operator.drain(client, reason=reason) if drain else operator.pause(client, reason=reason)
    if as_json:
        print_json({"client": client, "state": state})
    elif state == "draining":
        say(f"client {client} is draining: it is paused when its open events are finished")
    else:
        say(f"client {client} is paused: its events wait in the log until `eventbridge resume {client}`")


@click.command("resume")
@click.argument("client", shell_complete=known_clients)
@json_option
@click.pass_context
def resume_command(ctx: click.Context, client: str, as_json: bool) -> None:
    """Go on handing events to CLIENT, where it was paused or halted."""
    was, missed = operator_here(ctx).resume(client)
    if as_json:
        print_json({"client": client, "state": "active", "was": was} | ({"missed": missed} if missed else {}))
        return
    say(f"client {client} is active" + (" already" if was == "active" else f", it was {was}"))
    if missed:
        say(f"it goes on after {missed[1]}: what was pruned from {missed[0]} on while it was released is missed")


@click.command("remove")
@click.argument("client", shell_complete=known_clients)
@click.option("--force", is_flag=True, help="Remove it even while deliveries are open, and forget them.")
@yes_option
@json_option
@click.pass_context
def remove_command(ctx: click.Context, client: str, force: bool, yes: bool, as_json: bool) -> None:
    """Remove CLIENT with its cursor and its parked events.

    The log and the other clients stay as they are. The id may be registered again later, as a new client.
    """
    operator = operator_here(ctx)
    if not yes:
        [row] = operator.status(client)
        has = (
            f"its cursor at {row.offset}, {counted(row.open, 'open delivery', 'open deliveries')} "
            f"and {counted(row.parked, 'parked event')}"
        )
        confirm(f"remove client {client} with {has}?", yes=yes, as_json=as_json)
    gone = operator.remove(client, force=force)
    if as_json:
        print_json({"client": client, "offset": gone.offset, "open": gone.open, "parked": gone.parked})
    else:
        say(f"client {client} is removed, its cursor stood at {gone.offset}")
