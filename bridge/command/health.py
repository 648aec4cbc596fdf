"""`eventbridge health`: does the bridge work at this moment? For probes: one line, and an exit code."""

from __future__ import annotations

import socket

import click

from bridge.command.group import FAILURE
from bridge.command.invocation import say
from bridge.command.output import print_json
from bridge.command.parameters import SecondsFrom, json_option
from bridge.command.project import operator_here
from bridge.command.texts import plain
from bridge.operate.examiner import COLLECTOR_SECONDS, PUMP_SECONDS

HERE = "celery@HOST"


@click.command("health", short_help="Say whether the bridge works now, for probes.")
@click.option(
    "--pump-seconds",
    type=SecondsFrom(0),
    default=PUMP_SECONDS,
    metavar="SECONDS",
    show_default=True,
    help="How long ago a pump may have been at work; 0: it does not matter.",
)
@click.option(
    "--collector-seconds",
    type=SecondsFrom(0),
    default=COLLECTOR_SECONDS,
    metavar="SECONDS",
    show_default=True,
    help="Likewise a collector.",
)
@click.option(
    "--worker",
    is_flag=False,
    flag_value=HERE,
    metavar="[NODE]",
    help="Only ask whether this worker answers, by default the one of this host. "
    "While the broker is away, the code is 0.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=SecondsFrom(0.1),
    default=5.0,
    metavar="SECONDS",
    show_default=True,
    help="How long to wait for each connection.",
)
@json_option
@click.pass_context
def health_command(
    ctx: click.Context,
    /,
    *,
    pump_seconds: float,
    collector_seconds: float,
    worker: str | None,
    timeout_seconds: float,
    as_json: bool,
) -> None:
    """Say in one line whether the bridge works now: Postgres, the broker, pump and collector.

    The exit code is 0 if it does, and else 1. With --worker it says whether a restart of that worker would help: it
    answers, or the broker is away and nobody could answer.
    """
    operator = operator_here(ctx)
    if worker is not None:
        node = f"celery@{socket.gethostname()}" if worker == HERE else worker
        found = operator.worker_health(node, timeout_seconds=timeout_seconds)
    else:
        found = operator.health(
            pump_seconds=pump_seconds or None,
            collector_seconds=collector_seconds or None,
            timeout_seconds=timeout_seconds,
        )
    if as_json:
        print_json({"ok": found.ok, "signs": found.signs}, indent=None)
    else:
        say(plain(found.text))
    if not found.ok:
        ctx.exit(FAILURE)
