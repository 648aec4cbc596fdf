"""`manage.py bridge …`: all commands of `eventbridge`, on the project's Celery app."""

from __future__ import annotations

import argparse
import os
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import click
from celery.bin.base import CLIContext
from django.core.management.base import BaseCommand, CommandError, CommandParser

from bridge.command import bridge
from bridge.command.group import BridgeGroup, say_warning
from bridge.contrib.django.database import overruled
from bridge.contrib.django.project import celery_app

IGNORED = {"--settings": True, "--pythonpath": True, "--traceback": False, "--skip-checks": False}  # with a value?


@click.group("bridge", cls=BridgeGroup, help=bridge.help)
@click.option("--no-color", is_flag=True, help="Print without colours.")
@click.version_option(None, "--version", package_name="celery-event-bridge", prog_name="celery-event-bridge")
@click.pass_context
def commands(ctx: click.Context, no_color: bool) -> None:
    """Run the commands of `bridge` on the project's Celery app."""
    colourless = no_color or "NO_COLOR" in os.environ
    ctx.obj = CLIContext(app=celery_app(), no_color=colourless, workdir=None)
    if why := overruled():
        say_warning(why)


commands.include(bridge)


class Command(BaseCommand):
    """Hands its arguments on as they are; system checks are left out, for it is needed when something is wrong."""

    help = "Deliver the events of a Postgres table as Celery tasks: `manage.py bridge --help` lists the commands."
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as a command line of its own, with its own options and exit codes."""
        commands.main(_without_djangos(argv[2:]), prog_name=f"{os.path.basename(argv[0])} {argv[1]}")

    def print_help(self, prog_name: str, subcommand: str) -> None:
        """Print the help for `manage.py help bridge`."""
        commands.main(["--help"], prog_name=f"{os.path.basename(prog_name)} {subcommand}", standalone_mode=False)

    def add_arguments(self, parser: CommandParser) -> None:
        """Take all that follows, for `call_command("bridge", "status", "--json")`."""
        parser.add_argument("args", nargs=argparse.REMAINDER)

    def handle(self, *args: str, **_: Any) -> None:
        """Run for `call_command`.

        Raises:
            CommandError: the command failed; the message says why.
        """
        with redirect_stdout(self.stdout), redirect_stderr(self.stderr):
            try:
                code = commands.main(list(args), prog_name="manage.py bridge", standalone_mode=False)
            except click.ClickException as error:
                raise CommandError(error.format_message(), returncode=error.exit_code) from error
        if code:
            raise CommandError("", returncode=code)


def _without_djangos(arguments: list[str]) -> list[str]:
    """Leave out the options that Django takes itself, before the name of the command."""
    left = list(arguments)
    while left and left[0].split("=")[0] in IGNORED:
        option, _, value = left.pop(0).partition("=")
        if IGNORED[option] and not value and left:
            left.pop(0)
    return left
