"""`bridge seek`: move a client's cursor."""

from __future__ import annotations

from typing import Any

import click

from bridge.command.confirm import confirmed, yes
from bridge.command.output import print_json
from bridge.command.parameters import as_json
from bridge.command.project import ready_store, whoami
from bridge.model import Position
from bridge.operate.seek import Sought
from bridge.operate.seek import seek as move
from bridge.wording import counted


@click.command()
@click.argument("client")
@click.option(
    "--to",
    type=Position.parse,
    required=True,
    metavar="POSITION",
    help="`beginning`, `end`, a timestamp from which on events are delivered, or the offset of the last event that is not.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be delivered again and what will be passed over.")
@yes
@as_json
@click.pass_context
def seek(ctx: click.Context, /, *, client: str, to: Position, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Move the cursor of CLIENT, forward or back.

    What is in flight is forgotten, and what is reported of it later changes nothing. Parked events above the new place
    are delivered again.
    """
    store = ready_store(ctx)
    if dry_run or not yes:
        tried = move(store, client, to=to, by=whoami(), dry_run=True)
        if not as_json:
            click.echo(_said(client, tried))
        elif dry_run:
            print_json(_mapping(client, tried))
        if dry_run:
            return
        confirmed(f"move the cursor of client {client}?", yes=yes, as_json=as_json)
    done = move(store, client, to=to, by=whoami())
    if as_json:
        print_json(_mapping(client, done))
    else:
        click.echo(_said(client, done))


def _said(client: str, sought: Sought) -> str:
    verb = "moved" if sought.moved else "would move"
    least = "" if sought.exact else "at least "
    return (
        f"the cursor of client {client} {verb} from {sought.before} to {sought.offset}: "
        f"{least}{counted(sought.again, 'event')} will be delivered again, {least}{sought.passed_over:,} will be passed over"
    )


def _mapping(client: str, sought: Sought) -> dict[str, Any]:
    return {"client": client, **sought._asdict()}
