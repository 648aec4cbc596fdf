"""`bridge pause` and `bridge resume`: stop handing events to a client, and go on."""

import click

from bridge.command.reach import ready_store, whoami
from bridge.store.clients import set_state


@click.command()
@click.argument("client")
@click.option("--reason", default="", metavar="TEXT", help="Why, for whoever reads the status.")
@click.pass_context
def pause(ctx: click.Context, client: str, reason: str) -> None:
    """Stop handing events to CLIENT.

    What is in flight still commits, and the events wait in the log.
    """
    set_state(ready_store(ctx), client, state="paused", reason=reason, by=whoami())
    click.echo(f"client {client} is paused: its events wait in the log until `bridge resume {client}`")


@click.command()
@click.argument("client")
@click.pass_context
def resume(ctx: click.Context, client: str) -> None:
    """Go on handing events to CLIENT, where it was paused or halted."""
    set_state(ready_store(ctx), client, state="active", reason="", by=whoami())
    click.echo(f"client {client} is active")
