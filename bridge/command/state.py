"""`bridge pause`, `resume` and `remove`: stop handing events to a client, go on, and end it for good."""

from __future__ import annotations

import click

from bridge.command.confirm import confirmed, yes
from bridge.command.output import print_json
from bridge.command.parameters import as_json
from bridge.command.project import ready_store, whoami
from bridge.operate import lifecycle
from bridge.store import clients as stored
from bridge.wording import counted


@click.command()
@click.argument("client")
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever reads the status.")
@click.option(
    "--drain", is_flag=True, help="First let what is open finish, with all its retries; nothing new goes out meanwhile."
)
@as_json
@click.pass_context
def pause(ctx: click.Context, client: str, reason: str, drain: bool, as_json: bool) -> None:
    """Stop handing events to CLIENT.

    What is in flight still commits, and the events wait in the log.
    """
    state = lifecycle.pause(ready_store(ctx), client, reason=reason, by=whoami(), drain=drain)
    if as_json:
        print_json({"client": client, "state": state})
    elif state == "draining":
        click.echo(f"client {client} is draining: it is paused when what is open is finished")
    else:
        click.echo(f"client {client} is paused: its events wait in the log until `bridge resume {client}`")


@click.command()
@click.argument("client")
@as_json
@click.pass_context
def resume(ctx: click.Context, client: str, as_json: bool) -> None:
    """Go on handing events to CLIENT, where it was paused or halted."""
    was = lifecycle.resume(ready_store(ctx), client, by=whoami())
    if as_json:
        print_json({"client": client, "state": "active", "was": was})
    else:
        click.echo(f"client {client} is active" + (" already" if was == "active" else f", it was {was}"))


@click.command()
@click.argument("client")
@click.option("--force", is_flag=True, help="Remove it while deliveries are open too, and forget them.")
@yes
@as_json
@click.pass_context
def remove(ctx: click.Context, client: str, force: bool, yes: bool, as_json: bool) -> None:
    """Remove CLIENT with its cursor and its parked events.

    The log and the other clients stay as they are. Its id may be registered again, and begins anew then.
    """
    store = ready_store(ctx)
    if not yes:
        [row] = stored.status(store, client)
        has = (
            f"its cursor at {row['offset']}, {counted(row['open'], 'open delivery', 'open deliveries')} "
            f"and {counted(row['parked'], 'parked event')}"
        )
        confirmed(f"remove client {client} with {has}?", yes=yes, as_json=as_json)
    gone = lifecycle.remove(store, client, by=whoami(), force=force)
    if as_json:
        print_json({"client": client, "offset": gone.offset, "open": gone.open, "parked": gone.parked})
    else:
        click.echo(f"client {client} is removed, its cursor stood at {gone.offset}")
