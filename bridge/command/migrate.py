"""`eventbridge migrate`: create the schema, or bring it up to this code."""

import click

from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.command.parameters import json_option
from bridge.command.project import operator_here
from bridge.model import ROLES


@click.command("migrate")
@click.option("--roles", is_flag=True, help="Also make fq_publisher, fq_bridge, fq_operator and fq_monitor.")
@json_option
@click.pass_context
def migrate_command(ctx: click.Context, roles: bool, as_json: bool) -> None:
    """Create or upgrade the schema fq in the database.

    Running it again changes nothing, two machines may run it at once, and writers may go on writing.
    """
    applied = operator_here(ctx).migrate(roles=roles)
    if as_json:
        print_json({"applied": applied})
        return
    if applied:
        say(f"the schema fq is up to date: applied {', '.join(applied)}")
    else:
        say("the schema fq was up to date")
    if roles:
        say(f"these roles have their rights: {', '.join(ROLES)}; GRANT them to the roles that log in")
