"""How a command writes what it logs: on stderr, as text or as JSON."""

from __future__ import annotations

import logging
from typing import get_args

import click

from bridge.observe.log_format import JsonFormatter
from bridge.settings.bridge import LogFormat


def _log_as(_: click.Context, __: click.Parameter, format: LogFormat | None) -> None:
    """Let this process log from level INFO on; without the option it logs as it did."""
    if format is None:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if format == "json" else logging.Formatter("%(levelname)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger("bridge").setLevel(logging.INFO)


log_format = click.option(
    "--log-format",
    type=click.Choice(get_args(LogFormat)),
    expose_value=False,
    callback=_log_as,
    help="Write what is logged to stderr, from level INFO on: as text, or one JSON object a line.",
)
