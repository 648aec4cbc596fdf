"""`bridge migrate`: create the schema, or bring it up to this code."""

import click

from bridge.command.output import print_json
from bridge.command.parameters import as_json
from bridge.command.project import raw_store
from bridge.store.driver_errors import translated
from bridge.store.migrate import migrate as apply


@click.command()
@as_json
@click.pass_context
def migrate(ctx: click.Context, as_json: bool) -> None:
    """Create or upgrade the schema fq in the database.

    Running it again changes nothing, two machines may run it at once, and writers may go on writing.
    """
    with translated():
        applied = apply(raw_store(ctx).engine)
    if as_json:
        print_json({"applied": applied})
    elif applied:
        click.echo(f"the schema fq is up to date: applied {', '.join(applied)}")
    else:
        click.echo("the schema fq was up to date")
