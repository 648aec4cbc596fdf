"""`eventbridge …` and `python -m bridge …`: the commands for a machine that has no Celery project at hand.

They work on the ready app in `bridge.celery`, which the environment configures, or on the one that `-A` names.
"""

import click

from bridge import __version__
from bridge.command import bridge
from bridge.command.group import BridgeGroup
from bridge.command.here import READY, Here
from bridge.command.logs import log_format


@click.group("eventbridge", cls=BridgeGroup, help=bridge.help)
@click.option(
    "-A",
    "--app",
    "app",
    default=READY,
    metavar="APP",
    show_default=True,
    help="The Celery app, as for celery -A.",
)
@log_format
@click.version_option(__version__, prog_name="celery-event-bridge")
@click.pass_context
def main(ctx: click.Context, app: str) -> None:
    """Run the commands of `bridge` on an app that is found by its name."""
    ctx.obj = Here(app)


main.include(bridge)

if __name__ == "__main__":
    main(prog_name="python -m bridge")
