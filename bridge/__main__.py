"""`eventbridge …` and `python -m bridge …`: the commands for a machine that has no Celery project at hand.

They work on the ready app in `bridge.celery`, which the environment configures, or on the one that `-A` names.
"""

import os

import click
from celery.bin.base import CLIContext

from bridge import __version__
from bridge.command import bridge
from bridge.command.group import BridgeGroup
from bridge.command.logs import log_format
from bridge.command.project import named_app


@click.group("eventbridge", cls=BridgeGroup, help=bridge.help)
@click.option(
    "-A",
    "--app",
    "app",
    default="bridge.celery",
    metavar="APP",
    show_default=True,
    help="The Celery app, as for celery -A.",
)
@log_format
@click.version_option(__version__, prog_name="celery-event-bridge")
@click.pass_context
def main(ctx: click.Context, app: str) -> None:
    """Run the commands of `bridge` on an app that is found by its name."""
    ctx.obj = CLIContext(app=named_app(app), no_color="NO_COLOR" in os.environ, workdir=None)


main.include(bridge)

if __name__ == "__main__":
    main(prog_name="python -m bridge")
