"""`eventbridge seek`: move a client's cursor."""

from __future__ import annotations

import click

from bridge.command.completion import known_clients
from bridge.command.confirm import confirm
from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.command.parameters import json_option, position, yes_option
from bridge.command.project import operator_here
from bridge.model import Position
from bridge.operate.seek import Sought
from bridge.wording import counted


@click.command("seek")
@click.argument("client", shell_complete=known_clients)
@click.option(
    "--to",
    type=position,
    required=True,
    metavar="POSITION",
    help="Deliver what comes after an offset, or what was created since a timestamp, or since so long ago as in 2h; "
    "`beginning` delivers the whole log, `end` only events that are still to come.",
)
@click.option("--dry-run", is_flag=True, help="Only say how many events would be delivered again or passed over.")
@yes_option
@json_option
@click.pass_context
def seek_command(ctx: click.Context, /, *, client: str, to: Position, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Move the cursor of CLIENT, forward or back.

    Events that are open now are given up: if their tasks end later, that changes nothing. Events that are parked above
    the new place are delivered again.
    """
    operator = operator_here(ctx)
    if dry_run or not yes:
        tried = operator.seek(client, to=to, dry_run=True)
        if dry_run or not as_json:
            _show(client, tried, as_json=as_json)
        if dry_run:
            return
        confirm(f"move the cursor of client {client}?", yes=yes, as_json=as_json)
    _show(client, operator.seek(client, to=to), as_json=as_json)


def _show(client: str, sought: Sought, *, as_json: bool) -> None:
    if as_json:
        print_json({"client": client, **sought._asdict()})
        return
    verb = "moved" if sought.moved else "would move"
    least = "" if sought.exact else "at least "
    say(
        f"the cursor of client {client} {verb} from {sought.before} to {sought.offset}: "
        f"{least}{counted(sought.again, 'event')} will be delivered again, "
        f"{least}{sought.passed_over:,} will be passed over"
    )
    if sought.pruned is not None:
        say(f"the log is pruned: events up to {sought.pruned} may be gone, and are not delivered")
