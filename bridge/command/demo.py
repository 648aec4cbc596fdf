"""`bridge demo`: the whole loop on real data."""

from importlib import import_module

import click


@click.command()
@click.option("--events", type=click.IntRange(min=1), metavar="N", help="Publish only the first N events.")
@click.pass_context
def demo(ctx: click.Context, events: int | None) -> None:
    """Show the whole loop on a month of real departures.

    It starts a database, a broker and workers of its own, and compares what the clients computed with the data itself.
    """
    # By name and not before it is asked for: the demo is no part of the command line, and needs extras of its own.
    ctx.exit(import_module("bridge.demo").run(events=events))
