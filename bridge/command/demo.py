"""`bridge demo`: the whole loop on real data."""

import click


@click.command()
@click.option("--events", type=click.IntRange(min=1), metavar="N", help="Publish only the first N events.")
@click.pass_context
def demo(ctx: click.Context, events: int | None) -> None:
    """Show the whole loop on a month of real departures.

    It starts a database, a broker and workers of its own, and compares what the clients computed with the data itself.
    """
    from bridge.demo import run  # the other commands need nothing of the demo, and should not wait for its imports

    ctx.exit(run(events=events))
